"""The command that exports: each kind of file answers as the model does, and nothing is lost on the way."""

import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from tiny_mixmae import tiny_mixedae, write_files
from tool_loading import load_tool

from mixmae_mm.apis import get_model
from mixmae_mm.apis.encoder_file import read_card
from mixmae_mm.apis.model import build_encoder

tool = load_tool('model_converters/export_model.py')


@pytest.fixture
def files(tmp_path):
    """A config, the checkpoint that goes with it, and the encoder in both."""
    config, checkpoint = write_files(tmp_path, tiny_mixedae, mean=[1.0, 2.0, 3.0], std=[50.0, 60.0, 70.0])
    return config, checkpoint, build_encoder(Config.fromfile(config), checkpoint).cpu()


def test_one_file_describes_itself_and_can_be_exported_again(files, tmp_path, capsys):
    config, checkpoint, encoder = files
    out = tmp_path / 'vit.safetensors'
    tool.main([checkpoint, str(out), '--config', config])
    assert 'vit.safetensors: MixingViT, images of 32 x 32, 0.0 MB\n' in capsys.readouterr().out
    card = read_card(out)
    assert (card.mean, card.std, card.source) == ((1.0, 2.0, 3.0), (50.0, 60.0, 70.0), 'checkpoint.pth')
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(get_model(pretrained=str(out))(images)[0], encoder(images)[0])
    tool.main([str(out), str(tmp_path / 'folder'), '--image-size', '32', '64', '--licence', 'apache-2.0'])
    again = read_card(tmp_path / 'folder' / 'model.safetensors')
    assert (again.image_size, again.mean, again.source) == ((32, 64), card.mean, 'vit.safetensors')
    assert (tmp_path / 'folder' / 'README.md').read_text().startswith('---\nlicense: apache-2.0\n')


def test_onnx_takes_bytes_and_answers_as_the_encoder(files, tmp_path, capsys):
    onnxruntime = pytest.importorskip('onnxruntime', reason='needs onnx, onnxscript and onnxruntime')
    config, checkpoint, encoder = files
    out = tmp_path / 'vit.onnx'
    tool.main([checkpoint, str(out), '--config', config, '--image-size', '24', '40', '--with-normalization'])
    assert 'images of 24 x 40' in (printed := capsys.readouterr().out)
    assert '; onnxruntime differs by ' in printed
    session = onnxruntime.InferenceSession(str(out), providers=['CPUExecutionProvider'])
    images = torch.randint(0, 256, (3, 3, 24, 40), dtype=torch.uint8)
    pixels = (images - torch.tensor([1.0, 2.0, 3.0])[:, None, None]) / torch.tensor([50.0, 60.0, 70.0])[:, None, None]
    with torch.no_grad():
        expected = encoder(pixels)[-1]
    (given,) = session.run(['map_0'], {'images': images.numpy()})
    assert np.abs(given - expected.numpy()).max() < 1e-5 * expected.abs().max()
    told = session.get_modelmeta().custom_metadata_map
    assert (told['type'], told['mean'], told['normalized']) == ('MixingViT', '[1.0, 2.0, 3.0]', 'in the graph')
    assert json.loads(told['settings'])['patch_size'] == 8


def test_a_file_that_answers_otherwise_is_not_left(files, tmp_path, monkeypatch):
    config, checkpoint, _ = files
    out = tmp_path / 'vit.onnx'
    monkeypatch.setattr(tool.exporting, 'import_onnx', lambda: None)
    monkeypatch.setattr(tool.exporting, 'export_onnx', lambda portable, path, *others: path.write_bytes(b'onnx'))
    monkeypatch.setattr(tool.exporting, 'compare_onnx', lambda *args: dict(map_0=1e-3, pooled=1e-6))
    with pytest.raises(SystemExit, match=r"onnxruntime and PyTorch differ, by {'map_0': 0.001, .*: removed .*vit.onnx"):
        tool.main([checkpoint, str(out), '--config', config])
    assert not out.exists()


def test_a_classifier_gives_its_logits(tmp_path):
    pytest.importorskip('mmpretrain', reason='needs mmpretrain')
    model = dict(
        type='mmpretrain.ImageClassifier',
        data_preprocessor=dict(type='mmpretrain.ClsDataPreprocessor', mean=[1.0] * 3, std=[2.0] * 3, to_rgb=True),
        backbone=dict(tiny_mixedae()['backbone'], init_cfg=dict(type='Pretrained', checkpoint='gone.pth')),
        neck=dict(type='mmpretrain.GlobalAveragePooling'),
        head=dict(type='mmpretrain.LinearClsHead', num_classes=5, in_channels=8),
    )
    Config(dict(model=model, default_scope='mmpretrain')).dump(tmp_path / 'config.py')
    init_default_scope('mmpretrain')
    classifier = MODELS.build(model).eval()
    torch.save(dict(state_dict=classifier.state_dict()), tmp_path / 'checkpoint.pth')
    checkpoint, out, config = (str(tmp_path / name) for name in ('checkpoint.pth', 'logits.pt2', 'config.py'))
    tool.main([checkpoint, out, '--config', config, '--classifier', '--with-normalization'])
    program = torch.export.load(out).module()
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    (logits,) = program(images)
    pooled = classifier.backbone((images.float() - 1) / 2)[-1].mean((2, 3))
    torch.testing.assert_close(logits, classifier.head.fc(pooled), atol=1e-6, rtol=1e-5)
    config, checkpoint = write_files(tmp_path, tiny_mixedae)
    with pytest.raises(SystemExit, match='is of a mixmae_mm.MixedAE, not of an ImageClassifier with a head'):
        tool.main([checkpoint, str(tmp_path / 'x.pt2'), '--config', config, '--classifier'])


def test_what_is_wrong_is_told_before_anything_is_written(files, tmp_path, capsys):
    config, checkpoint, _ = files
    for arguments, message in (
        (['x.csv'], 'x.csv should end in .onnx, .pt2 or .safetensors, or be a folder'),
        (['x.safetensors', '--config', config, '--classifier'], '--classifier needs --config CONFIG.py, and OUT that'),
        (['x.onnx', '--config', 'mixedae-vit-base', '--classifier'], '--classifier needs --config CONFIG.py'),
        (['x.pt2', '--config', config, '--image-size', '0', '32'], 'argument --image-size: 0: give 1 or more'),
        (['folder', '--with-normalization'], '--with-normalization is for .onnx and .pt2'),
    ):
        with pytest.raises(SystemExit):
            tool.main([checkpoint, *arguments])
        assert message in capsys.readouterr().err
    (tmp_path / 'there.onnx').write_bytes(b'precious')
    for arguments, message in (
        (['there.onnx', '--config', config], 'there.onnx is there already'),
        (['x.safetensors'], 'checkpoint.pth is not a .safetensors file, so it cannot describe its encoder'),
    ):
        with pytest.raises(SystemExit, match=message):
            tool.main([checkpoint, str(tmp_path / arguments[0]), *arguments[1:]])
    assert (tmp_path / 'there.onnx').read_bytes() == b'precious'
    assert not list(tmp_path.glob('x.*'))
