"""Exported models against PyTorch's answers, in other sizes and batches than they were traced with."""

import copy
import json
import sys
from unittest import mock

import numpy as np
import pytest
import torch

from mixmae_mm.apis import export
from mixmae_mm.models import MixingViT, MixMIMSwin

NORMALIZATION = dict(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
SIZE = (48, 40)
"""Not that which the encoder is built for: position embeddings are resized and windows padded."""


def swin():
    torch.manual_seed(0)
    arch = dict(embed_dims=8, depths=(1, 1), num_heads=(1, 2))
    return MixMIMSwin(arch, img_size=32, patch_size=4, window_sizes=(4, 4), out_indices=(0, 1)).eval()


@pytest.fixture(scope='module')
def onnx_file(tmp_path_factory):
    """An exportable encoder, its ONNX file, and the graph that was written."""
    for name in ('onnxscript', 'onnxruntime'):
        pytest.importorskip(name, reason='needs onnx, onnxscript and onnxruntime')
    exportable, path = export.ExportableModel(swin()), tmp_path_factory.mktemp('exported') / 'new' / 'swin.onnx'
    graphs, translate = [], torch.onnx.export
    with mock.patch.object(
        torch.onnx, 'export', lambda *args, **named: graphs.append(translate(*args, **named)) or graphs[0]
    ):
        assert export.export_onnx(exportable, path, SIZE, dict(name='swin', mean=[1, 2])) < 1e-5
    return exportable, path, graphs[0]


def check_rounding(found, expected):
    """Compare float32 results whose sums may run in another order.

    About 40 operations, each over up to 48 numbers, round like a random walk: by 2^-24 * sqrt(40 * 48) of the scale, of
    which four times as much is allowed.
    """
    torch.testing.assert_close(found, expected, rtol=0, atol=4 * 2.6e-6 * expected.abs().max().item())


def by_hand(exportable, images):
    with torch.no_grad():
        maps = exportable.model(images)
    return [*maps, maps[-1].flatten(2).mean(2)]


def test_onnxruntime_gives_the_same_for_any_batch(onnx_file):
    import onnxruntime

    exportable, path, _ = onnx_file
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    for batch in (1, 3, 5):
        images = torch.randn(batch, 3, *SIZE)
        found = session.run(['map_0', 'map_1', 'pooled'], {'images': images.numpy()})
        for given, expected in zip(found, by_hand(exportable, images), strict=True):
            check_rounding(torch.from_numpy(given), expected)
    with pytest.raises(Exception, match='Got invalid dimensions for input: images'):
        session.run(None, {'images': np.zeros((1, 3, SIZE[0], SIZE[1] + 1), np.float32)})
    assert json.loads(session.get_modelmeta().custom_metadata_map['mixmae_mm.json']) == dict(name='swin', mean=[1, 2])
    assert [file.name for file in path.parent.iterdir()] == ['swin.onnx']


def test_the_comparison_notices_a_changed_weight(onnx_file):
    exportable, path, _ = onnx_file
    changed = export.ExportableModel(copy.deepcopy(exportable.model))
    changed.model.layers[1].blocks[0].mlp.fc2.weight.data[0, 0] += 0.1
    differences = export.compare_onnx(path, changed, SIZE)
    assert differences['map_0'] < 1e-5 < 1e-3 < differences['map_1']
    changed.model.norm.weight.data[0] = torch.nan
    assert export.compare_onnx(path, changed, SIZE, batches=(1,))['map_1'] == float('inf')


@pytest.mark.parametrize(
    ('mean', 'std', 'kind'),
    [(NORMALIZATION['mean'], NORMALIZATION['std'], torch.uint8), ((2000.0, 900.0), (400.0, 90.0), torch.float32)],
)
def test_the_graph_takes_photos_as_bytes_and_channels_as_they_are(mean, std, kind):
    encoder = swin()
    encoder.patch_embed.proj = torch.nn.Conv2d(len(mean), 8, 4, 4)
    exportable = export.ExportableModel(encoder, dict(mean=mean, std=std))
    images = exportable.example((32, 32), batch=64)
    assert images.dtype == kind
    normal = (images.float() - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)
    assert -2.3 < normal.min() < normal.max() < 2.8
    with torch.no_grad():
        for given, expected in zip(exportable(images), by_hand(exportable, normal), strict=True):
            check_rounding(given, expected)


@pytest.mark.parametrize('windows', [{}, dict(window_size=2, global_blocks=(1,))])  # of which the last are padded
def test_a_loaded_program_normalizes_and_gives_the_same_for_any_batch(tmp_path, windows):
    arch = dict(embed_dims=8, depth=2, num_heads=2)
    vit = MixingViT(arch, img_size=32, patch_size=8, out_indices=(0, 1), num_sources=4, **windows)
    exportable = export.ExportableModel(vit, NORMALIZATION)
    path = export.export_program(exportable, tmp_path / 'new' / 'vit.pt2', (24, 36), dict(name='vit'))
    metadata = {export.METADATA: ''}
    program = torch.export.load(path, extra_files=metadata).module()
    mean, std = (torch.tensor(NORMALIZATION[name])[:, None, None] for name in ('mean', 'std'))
    for batch in (1, 4):
        images = torch.randint(0, 256, (batch, 3, 24, 36), dtype=torch.uint8)
        for given, expected in zip(program(images), by_hand(exportable, (images - mean) / std), strict=True):
            check_rounding(given, expected)
    assert json.loads(metadata[export.METADATA]) == dict(name='vit')


@pytest.mark.parametrize('kind', ['pt2', 'onnx'])
def test_what_fails_leaves_what_was_there(tmp_path, monkeypatch, kind, onnx_file):
    out, (exportable, _, graph) = tmp_path / f'swin.{kind}', onnx_file
    out.write_bytes(b'the old one')
    monkeypatch.setattr(export, 'trace', lambda *args: None)  # what comes of it is there already
    if kind == 'pt2':
        monkeypatch.setattr(torch.export, 'save', lambda *args, **settings: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            export.export_program(exportable, out, SIZE)
    else:
        monkeypatch.setattr(torch.onnx, 'export', lambda *args, **settings: graph)
        monkeypatch.setattr(export, 'compare_onnx', lambda *args: dict(map_0=1e-3, pooled=1e-6))
        with pytest.raises(ValueError, match=r"differ by {'map_0': 0\.001, .*nothing written"):
            export.export_onnx(exportable, out, SIZE)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [(out.name, b'the old one')]


def test_what_cannot_be_exported_is_refused():
    with pytest.raises(ValueError, match='mean has 1 .* 3 channels'):
        export.ExportableModel(swin(), dict(mean=(1,), std=(1,)))
    padded = MixingViT(dict(embed_dims=8, depth=1, num_heads=2), img_size=32, pad_value=0.0)
    with pytest.raises(ValueError, match=r'padding of 0\.0 .*pad_value=None'):
        export.ExportableModel(padded)


def test_a_missing_library_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'onnx', None)
    with pytest.raises(ImportError, match='export to ONNX needs onnx: pip install onnx'):
        export.export_onnx(export.ExportableModel(swin()), tmp_path / 'x.onnx', (8, 8))
