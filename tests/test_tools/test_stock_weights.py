"""Encoders of the libraries, pre-trained by MixMAE, are loaded whole by the libraries' own classes."""

import pytest
import torch
from mmengine.config import ConfigDict
from stock_encoders import CELLS, STOCK, stock_config
from tiny_mixmae import parts
from tool_loading import load_tool

from mixmae_mm.models import MixMAE
from mixmae_mm.registry import MODELS

pytest.importorskip('mmdet', reason='needs the detection library')
pytest.importorskip('mmseg', reason='needs the segmentation library')

tool = load_tool('model_converters/convert_weights.py')
LOADED_BY = {'mmpretrain.SwinTransformer': ('mmdet.SwinTransformer', 'mmseg.SwinTransformer')}
"""Other classes that have the same parameters."""
WITHOUT_PREFIX = {'mmdet.SwinTransformer', 'mmseg.SwinTransformer'}
"""Classes that take the encoder out of a file themselves."""
BARE = {'mmdet.PyramidVisionTransformer', 'mmdet.PyramidVisionTransformerV2', 'mmseg.MixVisionTransformer'}
"""Classes that want the encoder alone in a file: `mixmae convert --to backbone`."""
CASES = [(name, other) for name in STOCK for other in (name, *LOADED_BY.get(name, ()))]


def pretrainer(name, **settings):
    """MixMAE around an encoder for images of 64 px."""
    dims = {'mmseg.MixVisionTransformer': 128, 'mmdet.PyramidVisionTransformer': 128}
    cell = CELLS.get(name, 32)
    return MixMAE(**parts(dims.get(name, 64), 64 // cell, cell), backbone=stock_config(name) | settings)


@pytest.mark.parametrize('name', STOCK)
@torch.no_grad()
def test_weights_of_the_librarys_class_are_a_start(name, tmp_path):
    encoder = MODELS.build(ConfigDict(stock_config(name)))
    for parameter in encoder.parameters():
        parameter.normal_()
    prefix = '' if name in BARE else 'backbone.'
    weights = {prefix + key: x for key, x in encoder.state_dict().items()}
    torch.save(dict(state_dict=weights), tmp_path / 'official.pth')
    named = {} if name in BARE | WITHOUT_PREFIX else dict(prefix=prefix)
    init = dict(type='Pretrained', checkpoint=str(tmp_path / 'official.pth'), **named)
    model = pretrainer(name, init_cfg=ConfigDict(init))
    model.init_weights()
    for key, x in model.backbone.state_dict().items():
        assert torch.equal(x, weights[prefix + key]), key


@pytest.mark.parametrize(('name', 'other'), CASES)
@torch.no_grad()
def test_the_librarys_class_loads_what_was_pre_trained(name, other, tmp_path):
    torch.manual_seed(1)
    model = pretrainer(name)
    for parameter in model.parameters():
        parameter.normal_()
    weights = model.state_dict()
    torch.save(dict(state_dict=weights, meta={}), tmp_path / 'whole.pth')
    file = tmp_path / 'whole.pth'
    if other in BARE:
        file = tmp_path / 'bare.pth'
        tool.main([str(tmp_path / 'whole.pth'), str(file), '--to', 'backbone'])
    prefix = {} if other in BARE | WITHOUT_PREFIX else dict(prefix='backbone.')
    config = stock_config(other) | dict(init_cfg=dict(type='Pretrained', checkpoint=str(file), **prefix))
    encoder = MODELS.build(ConfigDict(config))
    encoder.init_weights()
    loaded = encoder.state_dict()
    own = {key.removeprefix('backbone.'): x for key, x in weights.items() if key.startswith('backbone.')}
    assert own.keys() <= loaded.keys()
    for key, x in own.items():
        assert torch.equal(loaded[key], x), key
    assert all('norm' in key for key in loaded.keys() - own.keys()), 'norms of maps that pre-training does not return'


def test_timm_loads_what_was_pre_trained(tmp_path):
    timm = pytest.importorskip('timm', reason='timm is not installed')
    name = 'mmpretrain.TIMMBackbone'
    weights = pretrainer(name).state_dict()
    torch.save(dict(state_dict=weights, meta={}), tmp_path / 'whole.pth')
    tool.main([str(tmp_path / 'whole.pth'), str(tmp_path / 'bare.pth'), '--to', 'backbone'])
    wrapped = ('features_only', 'feature_cls', 'out_indices', 'type', 'model_name')
    settings = {key: value for key, value in stock_config(name).items() if key not in wrapped}
    encoder = timm.create_model(stock_config(name)['model_name'], **settings)
    missing, unexpected = encoder.load_state_dict(torch.load(tmp_path / 'bare.pth')['state_dict'], strict=False)
    assert unexpected == []
    assert {key.partition('.')[0] for key in missing} == {'norm', 'head'}
    stored = weights['backbone.timm_model.model.layers.3.blocks.1.mlp.fc2.weight']
    assert torch.equal(encoder.layers[3].blocks[1].mlp.fc2.weight, stored)
