"""Exported models against PyTorch's answers, in other sizes and batches than they were traced with."""

import copy
import json
import sys

import numpy as np
import pytest
import torch

from mixmae_mm.apis import export as exporting
from mixmae_mm.apis.portable import Portable, PortableEncoder
from mixmae_mm.models import MixingViT, MixMIMSwin

NORMALIZATION = dict(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
SIZE = (48, 40)
"""Not that which the encoder is built for: tables are resized and windows padded."""


def swin():
    torch.manual_seed(0)
    arch = dict(embed_dims=8, depths=(1, 1), num_heads=(1, 2))
    return MixMIMSwin(arch, img_size=32, patch_size=4, window_sizes=(4, 4), out_indices=(0, 1)).eval()


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
    """A portable encoder, its size, its ONNX file and its program's file."""
    pytest.importorskip('onnxscript', reason='needs onnx and onnxscript')
    folder, portable = tmp_path_factory.mktemp('exported'), PortableEncoder(swin())
    program = exporting.trace(portable, SIZE)
    onnx = exporting.write_onnx(program, folder / 'swin.onnx', portable.outputs, dict(name='swin', mean='[1, 2]'))
    return portable, SIZE, onnx, exporting.write_program(program, folder / 'swin.pt2', dict(name='swin'))


def check_rounding(found, expected):
    """Compare float32 results whose sums may run in another order.

    The rounding of one operation is 2^-24 of its largest number; these networks have about 40 operations one after the
    other, each over up to 48 numbers whose rounding adds up like a random walk: 2^-24 * sqrt(40 * 48) is 2.6e-6 of the
    scale, of which four times as much is allowed. A changed weight moves results by more than 1e-3.
    """
    scale = expected.abs().max().item()
    torch.testing.assert_close(found, expected, rtol=0, atol=4 * 2.6e-6 * scale)


def by_hand(portable, images):
    with torch.no_grad():
        maps = portable.model(images)
    return [*maps, maps[-1].flatten(2).mean(2)]


def test_onnxruntime_gives_the_same_for_any_batch(exported):
    onnxruntime = pytest.importorskip('onnxruntime', reason='needs onnxruntime')
    portable, size, onnx, _ = exported
    session = onnxruntime.InferenceSession(str(onnx), providers=['CPUExecutionProvider'])
    for batch in (1, 3, 5):
        images = torch.randn(batch, 3, *size)
        names = ['map_0', 'map_1', 'pooled']
        for given, expected in zip(
            session.run(names, {'images': images.numpy()}), by_hand(portable, images), strict=True
        ):
            check_rounding(torch.from_numpy(given), expected)
    with pytest.raises(Exception, match='Got invalid dimensions for input: images'):
        session.run(None, {'images': np.zeros((1, 3, size[0], size[1] + 1), np.float32)})


@pytest.mark.parametrize(
    ('mean', 'std', 'kind'),
    [(NORMALIZATION['mean'], NORMALIZATION['std'], torch.uint8), ((2000.0, 900.0), (400.0, 90.0), torch.float32)],
)
def test_the_graph_takes_photos_as_bytes_and_channels_as_they_are(mean, std, kind):
    encoder = copy.deepcopy(swin())
    encoder.patch_embed.proj = torch.nn.Conv2d(len(mean), 8, 4, 4)
    portable = PortableEncoder(encoder, dict(mean=mean, std=std))
    images = portable.example((32, 32), batch=64)
    assert images.dtype == kind
    normal = (images.float() - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)
    assert -2.3 < normal.min() < normal.max() < 2.8
    with torch.no_grad():
        for given, expected in zip(portable(images), by_hand(portable, normal), strict=True):
            check_rounding(given, expected)


def test_the_comparison_notices_a_changed_weight(exported):
    pytest.importorskip('onnxruntime', reason='needs onnxruntime')
    portable, size, onnx, _ = exported
    differences = exporting.compare_onnx(onnx, portable, size)
    assert list(differences) == ['map_0', 'map_1', 'pooled']
    assert max(differences.values()) < 1e-5
    changed = PortableEncoder(copy.deepcopy(portable.model))
    changed.model.layers[1].blocks[0].mlp.fc2.weight.data[0, 0] += 0.1
    differences = exporting.compare_onnx(onnx, changed, size)
    assert differences['map_0'] < 1e-5 < 1e-3 < differences['map_1']
    changed.model.norm.weight.data[0] = torch.nan
    assert exporting.compare_onnx(onnx, changed, size, batches=(1,))['map_1'] == float('inf')


def test_the_file_names_what_goes_in_and_out(exported):
    onnx = pytest.importorskip('onnx', reason='needs onnx')
    _, size, path, _ = exported
    model = onnx.load(str(path))
    images = model.graph.input[0]
    sides = [side.dim_param or side.dim_value for side in images.type.tensor_type.shape.dim]
    assert (images.name, sides) == ('images', ['batch', 3, *size])
    assert {entry.key: entry.value for entry in model.metadata_props} == dict(name='swin', mean='[1, 2]')
    assert [entry.version for entry in model.opset_import] == [exporting.OPSET]
    assert [file.name for file in sorted(path.parent.iterdir())] == ['swin.onnx', 'swin.pt2']


def test_a_loaded_program_gives_the_same_for_any_batch(exported):
    portable, size, _, path = exported
    told = {exporting.METADATA: ''}
    program = torch.export.load(path, extra_files=told).module()
    for batch in (1, 4):
        images = torch.randn(batch, 3, *size)
        for given, expected in zip(program(images), by_hand(portable, images), strict=True):
            check_rounding(given, expected)
    assert json.loads(told[exporting.METADATA]) == dict(name='swin')


def test_a_plain_vit_normalizes_in_the_graph():
    arch = dict(embed_dims=8, depth=2, num_heads=2)
    vit = MixingViT(arch, img_size=32, patch_size=8, out_indices=(0, 1), num_sources=4).eval()
    portable = PortableEncoder(vit, NORMALIZATION)
    program = exporting.trace(portable, (24, 36)).module()
    images = torch.randint(0, 256, (3, 3, 24, 36), dtype=torch.uint8)
    mean, std = (torch.tensor(NORMALIZATION[name])[:, None, None] for name in ('mean', 'std'))
    for given, expected in zip(program(images), by_hand(portable, (images - mean) / std), strict=True):
        check_rounding(given, expected)


class Means(Portable):
    """A model of one layer, quickly exported."""

    outputs = ('means',)

    def answer(self, images):
        return (self.model(images).mean((2, 3)),)


@pytest.fixture
def means():
    return Means(torch.nn.Conv2d(3, 4, 3), 3, NORMALIZATION)


def test_what_a_file_holds_beside_weights_fits_into_what_is_left_of_its_2_gb(exported):
    """Protobuf's limit is for all of a file; the graph takes its share."""
    portable, _, onnx, _ = exported
    weights = sum(x.numel() * x.element_size() for x in portable.state_dict().values())
    assert 0 < onnx.stat().st_size - weights < 2**31 - exporting.LARGEST


def test_large_weights_lie_beside(means, tmp_path, monkeypatch):
    pytest.importorskip('onnxruntime', reason='needs onnx, onnxscript and onnxruntime')
    monkeypatch.setattr(exporting, 'LARGEST', 0)
    path = exporting.export_onnx(means, tmp_path / 'new' / 'means.onnx', (8, 8))
    assert sorted(file.name for file in path.parent.iterdir()) == ['means.onnx', 'means.onnx.data']
    assert exporting.compare_onnx(path, means, (8, 8))['means'] < 1e-5


def test_what_fails_leaves_nothing_behind(means, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError('the disk is full')

    monkeypatch.setattr(torch.export, 'save', fail)
    (tmp_path / 'means.pt2').write_bytes(b'the old one')
    with pytest.raises(OSError, match='the disk is full'):
        exporting.export_program(means, tmp_path / 'means.pt2', (8, 8))
    assert [file.name for file in tmp_path.iterdir()] == ['means.pt2']
    assert (tmp_path / 'means.pt2').read_bytes() == b'the old one'


def test_what_cannot_be_exported_is_reported(means, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, 'trace', lambda *args: pytest.fail('traced'))
    for export, out, extension in (
        (exporting.export_onnx, tmp_path / 'x.pt', '.onnx'),
        (exporting.export_program, tmp_path / 'x.pt', '.pt2'),
    ):
        with pytest.raises(ValueError, match=f'x.pt should end in {extension}'):
            export(means, out, (8, 8))
    for size in ((0, 8), (8, -1), (8,)):
        with pytest.raises(ValueError, match=r'images of \(.*\) pixels: give a height and a width, 1 or more each'):
            means.example(size)
    with pytest.raises(ValueError, match='mean has 1 numbers, and the images have 3 channels'):
        Means(torch.nn.Identity(), 3, dict(mean=(1,), std=(1,)))
    padded = MixingViT(dict(embed_dims=8, depth=1, num_heads=2), img_size=32, pad_value=0.0)
    with pytest.raises(ValueError, match='the encoder looks for padding of 0.0 in its images, which no graph can'):
        PortableEncoder(padded)


@pytest.mark.parametrize('missing', ['onnx', 'onnxscript'])
def test_without_onnx_the_message_says_what_to_install(means, tmp_path, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=f'export to ONNX needs {missing}: pip install onnx onnxscript onnxruntime'):
        exporting.export_onnx(means, tmp_path / 'x.onnx', (8, 8))


def test_without_onnxruntime_the_message_says_so(means, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    with pytest.raises(ImportError, match='to compare needs onnxruntime: pip install onnxruntime'):
        exporting.compare_onnx(tmp_path / 'x.onnx', means, (8, 8))
