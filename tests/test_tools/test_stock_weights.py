"""Encoders of the libraries, pre-trained by MixMAE, are loaded whole by the libraries' own classes."""

import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config, ConfigDict
from stock_encoders import STOCK, pretrainer, stock_config
from tool_loading import load_tool

from mixmae_mm.checkpoint.loading import OF_MAPS, load_by_name
from mixmae_mm.registry import MODELS

pytest.importorskip('mmdet', reason='needs the detection library')
mmseg = pytest.importorskip('mmseg', reason='needs the segmentation library')

tool = load_tool('model_converters/convert_weights.py')
LOADED_BY = {'mmpretrain.SwinTransformer': ('mmdet.SwinTransformer', 'mmseg.SwinTransformer')}
"""Other classes that have the same parameters."""
WITHOUT_PREFIX = {'mmdet.SwinTransformer', 'mmseg.SwinTransformer'}
"""Classes that take the encoder out of a file themselves."""
BARE = {'mmdet.PyramidVisionTransformer', 'mmdet.PyramidVisionTransformerV2', 'mmseg.MixVisionTransformer'}
"""Classes that want the encoder alone in a file: `mixmae convert --to backbone`."""
CASES = [(name, other) for name in STOCK for other in (name, *LOADED_BY.get(name, ()))]


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
    model = pretrainer(name, dict(init_cfg=ConfigDict(init)))
    model.init_weights()
    for key, x in model.backbone.state_dict().items():
        assert torch.equal(x, weights[prefix + key]), key


@pytest.mark.parametrize('name', [name for name in STOCK if name.endswith('SwinTransformer')])
def test_an_earlier_stage_is_loaded_without_its_norm_and_no_other_weight_may_lack(name, tmp_path):
    model = pretrainer(name, dict(out_indices=(3,)))
    torch.save(model.state_dict(), tmp_path / 'model.pth')
    shallow = MODELS.build(ConfigDict(stock_config(name) | dict(out_indices=(0, 1))))
    fresh = {key: x.clone() for key, x in shallow.state_dict().items() if OF_MAPS.fullmatch(key)}
    said = load_by_name(shallow, str(tmp_path / 'model.pth'))
    assert said.endswith('; not loaded: norm0.bias, norm0.weight, norm1.bias, norm1.weight')
    for key, x in shallow.state_dict().items():
        assert torch.equal(x, fresh[key] if key in fresh else model.backbone.state_dict()[key]), key
    for lost in ('norm3.weight', 'patch_embed.projection.bias'):
        weights = {key: x for key, x in model.state_dict().items() if not key.endswith(lost)}
        torch.save(weights, tmp_path / 'less.pth')
        with pytest.raises(ValueError, match=f'1 are missing and 0 have other shapes, e.g. {lost}'):
            load_by_name(pretrainer(name, dict(out_indices=(3,))).backbone, str(tmp_path / 'less.pth'))


@pytest.mark.parametrize('name', STOCK)
def test_whole_models_are_loaded_by_their_names(name, tmp_path):
    model = pretrainer(name)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'model.pth')
    init = ConfigDict(type='Pretrained', checkpoint=str(tmp_path / 'model.pth'))
    again = pretrainer(name, init_cfg=init)
    again.init_weights()
    assert all(torch.equal(x, model.state_dict()[key]) for key, x in again.state_dict().items())
    torch.save({key: x for key, x in model.state_dict().items() if key != 'neck.mask_token'}, tmp_path / 'model.pth')
    with pytest.raises(ValueError, match=r'does not fit this MixMAE: .* 1 are missing .* neck\.mask_token'):
        pretrainer(name, init_cfg=init).init_weights()


@pytest.mark.parametrize('to', ['ours', 'official', 'mmpretrain', 'timm'])
@pytest.mark.parametrize('name', STOCK)
def test_names_of_other_libraries_are_not_translated(name, to, tmp_path):
    torch.save(pretrainer(name).state_dict(), tmp_path / 'model.pth')
    with pytest.raises(SystemExit, match='neither MixMIM|which all our encoders have|several encoders'):
        tool.main([str(tmp_path / 'model.pth'), str(tmp_path / 'out.pth'), '--to', to])
    assert not (tmp_path / 'out.pth').exists()


def test_what_a_config_loads_is_told(tmp_path, capsys):
    name = 'mmpretrain.SwinTransformer'
    torch.save(pretrainer(name).state_dict(), tmp_path / 'model.pth')
    Config(dict(model=dict(backbone=stock_config(name)), default_scope='mmpretrain')).dump(tmp_path / 'config.py')
    inspect = load_tool('model_converters/inspect_checkpoint.py').main
    inspect([str(tmp_path / 'model.pth')])
    assert "layout          the encoder under 'backbone.' is neither MixMIM's nor a plain" in capsys.readouterr().out
    inspect([str(tmp_path / 'model.pth'), '--config', str(tmp_path / 'config.py')])
    assert re.search(r'model.pth -> SwinTransformer: (\d+) of its \1 tensors, by name', capsys.readouterr().out)


# names of parameters here, and in the repositories of the encoders' authors, in the order in which they are replaced
STAGED = {
    f'layers.{stage}.{part}.': f'{name}{stage + 1}.'
    for stage in range(4)
    for part, name in enumerate(('patch_embed', 'block', 'norm'))
}
ATTENTION = {'attn.attn.': 'attn.', 'out_proj': 'proj', 'projection': 'proj'}
DEEP = {'ffn.layers.0.0': 'mlp.fc1', 'ffn.layers.1': 'mlp.fc2'}
CONVOLVED = {'ffn.layers.0': 'mlp.fc1', 'ffn.layers.1': 'mlp.dwconv.dwconv', 'ffn.layers.4': 'mlp.fc2'}
TWINS = DEEP | {'layers.': 'blocks.'} | {f'encodings.{n}.proj': f'encodings.{n}.proj.0' for n in range(4)}
TWINS |= {'position_encodings': 'pos_block'} | ATTENTION
FIRST = {f'layers.{n}.1.0.pos_embed': f'pos_embed{n + 1}' for n in range(4)}
FIRST |= {f'layers.{n}.1.{block + 1}.': f'layers.{n}.1.{block}.' for n in range(4) for block in range(2)}
NAMES = {
    'mmdet.SwinTransformer': {'stages': 'layers', 'w_msa.': ''} | DEEP | ATTENTION,
    'mmdet.PyramidVisionTransformer': FIRST
    | {'ffn.layers.0': 'mlp.fc1', 'ffn.layers.3': 'mlp.fc2'}
    | STAGED
    | ATTENTION,
    'mmdet.PyramidVisionTransformerV2': CONVOLVED | STAGED | ATTENTION,
    'mmseg.MixVisionTransformer': CONVOLVED | STAGED | ATTENTION,
    'mmseg.PCPVT': TWINS,
    'mmseg.SVT': TWINS,
}
NAMES['mmseg.SwinTransformer'] = NAMES['mmdet.SwinTransformer']
CONVERTERS = {'mmseg.SwinTransformer': 'swin', 'mmseg.MixVisionTransformer': 'mit'}
CONVERTERS |= {'mmseg.PCPVT': 'twins', 'mmseg.SVT': 'twins'}
"""Tools of mmseg; mmdet's classes convert what they load."""


def as_published(weights, names):
    """An encoder's weights as its authors publish them."""
    published = {}
    for key, x in weights.items():
        for ours, theirs in names.items():
            key = key.replace(ours, theirs)
        if 'downsample' in key:  # the four tokens that are merged: theirs are ordered by column, row and channel
            x = x.unflatten(-1, (-1, 2, 2)).transpose(-3, -1).flatten(-3)
        if 'pos_embed4' in key:
            x = torch.cat([torch.zeros_like(x[:, :1]), x], dim=1)  # of CLS
        if 'in_proj' in key:
            q, kv = x.tensor_split([len(x) // 3])
            published |= {key.replace('in_proj_', 'q.'): q, key.replace('in_proj_', 'kv.'): kv}
        else:
            published[key] = x[:, :, 0, 0] if '.fc' in key and x.ndim == 4 else x
    return published


@pytest.mark.parametrize('name', NAMES)
@torch.no_grad()
def test_weights_of_the_authors_are_a_start(name, tmp_path):
    settings = dict(pretrain_img_size=224) if name.endswith('.PyramidVisionTransformer') else {}
    encoder = MODELS.build(stock_config(name) | settings)
    for parameter in encoder.parameters():
        parameter.normal_()
    # classifiers have one norm after all stages
    weights = {key: x for key, x in encoder.state_dict().items() if not key.startswith('norm')}
    published = as_published(weights, NAMES[name]) | {'head.weight': torch.zeros(1)}
    assert any('mlp.fc1' in key for key in published)
    if name in CONVERTERS:
        tool = f'.mim/tools/model_converters/{CONVERTERS[name]}2mmseg.py'
        convert = runpy.run_path(Path(mmseg.__file__).parent / tool)[f'convert_{CONVERTERS[name]}']
        kind = [SimpleNamespace(model=name.partition('.')[2].lower())] if CONVERTERS[name] == 'twins' else []
        published = convert(*kind, published)
    elif 'Swin' in name:
        settings = dict(convert_weights=True)
    torch.save(dict(model=published) if 'Swin' in name else published, tmp_path / 'x.pth')
    init = dict(type='Pretrained', checkpoint=str(tmp_path / 'x.pth'))
    model = pretrainer(name, settings | dict(init_cfg=ConfigDict(init)))
    model.init_weights()
    loaded = model.backbone.state_dict()
    for key, x in weights.items():
        assert torch.equal(loaded[key], x), key


@pytest.mark.parametrize(('name', 'other'), CASES)
@torch.no_grad()
def test_the_librarys_class_loads_what_was_pre_trained(name, other, tmp_path):
    torch.manual_seed(1)
    model = pretrainer(name, {} if other == name else dict(out_indices=(3,)))
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
