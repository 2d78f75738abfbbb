"""Encoders of other libraries are evaluated by the tools, from MixMAE's, SimMIM's and their own checkpoints."""

import json
from itertools import cycle

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from PIL import Image
from shipped_configs import build_model, read
from stock_encoders import STOCK, stock_config
from tool_loading import load_tool

from mixmae_mm.apis.model import build_encoder

evaluate = load_tool('analysis_tools/evaluate.py')
SWIN = 'mixmae/mixmae_swin-micro_1xb64-coslr-40e_imagenette-96px.py'


@pytest.mark.parametrize(('name', 'prefix'), zip(STOCK, cycle(['backbone.', ''])))
@torch.no_grad()
def test_an_encoder_is_built_with_and_without_weights(name, prefix, tmp_path):
    pytest.importorskip(name.partition('.')[0])
    config = Config(dict(model=dict(backbone=stock_config(name)), default_scope='mmpretrain'))
    assert not build_encoder(config, None).training
    encoder = MODELS.build(Config(stock_config(name)))
    for parameter in encoder.parameters():
        parameter.normal_()
    weights = {prefix + key: x for key, x in encoder.state_dict().items()}
    torch.save(dict(state_dict=weights | {'neck.weight': torch.zeros(1)} if prefix else weights), tmp_path / 'x.pth')
    built = build_encoder(config, str(tmp_path / 'x.pth'))
    assert all(torch.equal(x, weights[prefix + key]) for key, x in built.state_dict().items())
    key, value = next(iter(weights.items()))
    for wrong in ({key: torch.zeros(1)}, {}):
        torch.save(dict(state_dict={k: x for k, x in weights.items() if k != key} | wrong), tmp_path / 'x.pth')
        with pytest.raises(ValueError, match=f'does not fit this .* e.g. {key.removeprefix(prefix)}'):
            build_encoder(config, str(tmp_path / 'x.pth'))


def write_images(folder):
    rng = np.random.default_rng(0)
    for number in range(8):
        path = folder / 'images' / f'{number % 2}' / f'{number}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (96, 96, 3), np.uint8)).save(path)
        (folder / 'masks').mkdir(exist_ok=True)
        (folder / 'flat').mkdir(exist_ok=True)
        (folder / 'flat' / path.name).write_bytes(path.read_bytes())
        Image.fromarray(rng.integers(0, 2, (96, 96), np.uint8)).save(folder / 'masks' / path.name)


@pytest.mark.parametrize('method', ['simmim/simmim_swin-micro_1xb64-coslr-40e_imagenette-96px.py', SWIN])
def test_the_tool_evaluates_what_simmim_and_mixmae_have_trained(method, tmp_path, capsys):
    config, folder = read(SWIN), tmp_path
    write_images(folder)
    torch.save(dict(state_dict=build_model(read(method), device='cpu').state_dict(), meta={}), folder / 'epoch_1.pth')
    Config(config.to_dict()).dump(folder / 'config.py')
    words = [str(folder / 'config.py'), str(folder / 'epoch_1.pth'), '--json', '--workers', '1']
    images = ['--train', str(folder / 'images'), '--val', str(folder / 'images'), '--k', '3']
    evaluate.main([*words, *images])
    assert 0 <= json.loads(capsys.readouterr().out.splitlines()[-1])['top1'] <= 1
    flat, masks = str(folder / 'flat'), str(folder / 'masks')
    dense = ['--train', flat, '--val', flat, '--train-masks', masks, '--val-masks', masks]
    # of the first two maps, which pre-training has not returned, the norms are new
    for stages in ([], ['--stages', '0', '1', '2']):
        evaluate.main([*words, *dense, *stages])
        assert 0 < json.loads(capsys.readouterr().out.splitlines()[-1])['ridge']['miou'] < 1
