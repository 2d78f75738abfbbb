"""What a file is said to be, and what a config would load of it."""

import json
import re

import pytest
import torch
from checkpoint_toys import random_mae, vit
from mmengine.config import Config
from mmengine.registry import init_default_scope
from references import SHARED, backbone_settings, build_pretrainer, load_reference, our_name
from safetensors.torch import save_file
from tool_loading import load_tool

tool = load_tool('model_converters/inspect_checkpoint.py')
MICRO = load_reference('mixmim_pretrain_micro.pt')
CONFIG = MICRO['config']


def printed(capsys, tmp_path, content, *options, name='file.pth'):
    path = str(tmp_path / name)
    (torch.save if name.endswith('.pth') else save_file)(content, path)
    tool.main([path, *options])
    return capsys.readouterr().out


def row(text, name):
    """The line that begins so."""
    found = re.search(rf'^{re.escape(name)} +(.*)$', text, re.MULTILINE)
    return found[1] if found else None


def test_an_official_file(tmp_path, capsys):
    text = printed(capsys, tmp_path, dict(model=MICRO['state_dict'], epoch=599, optimizer={}, scaler={}))
    rows = {
        'weights stand': "under 'model'",
        'tensors': '92',
        'epoch': '599',
        'iter': None,
        'config': 'not inside',
        'optimizer': 'inside',
        'layout': 'the names of MixMIM, without a prefix',
        'sizes': '8 channels, blocks (1, 1, 1, 1), patches of 4 px, images of 3 channels',
        'get_model': None,
    }
    assert {name: row(text, name) for name in rows} == rows
    decoder = sum(p.numel() for p in build_pretrainer(CONFIG).neck.parameters())
    assert row(text, 'decoder') == f'20 tensors, {decoder:,} numbers, float32'
    assert row(text, 'encoder').startswith('72 tensors, ')


def test_our_own_file(tmp_path, capsys):
    meta = dict(epoch=3, iter=12, cfg='model = dict()', dataset_meta=dict(classes=list('abcdefg')))
    weights = {our_name(name): x.half() for name, x in random_mae().items()}
    text = printed(capsys, tmp_path, dict(state_dict=weights | {'head.fc.weight': torch.ones(5, 8)}, meta=meta))
    assert row(text, 'weights stand') == "under 'state_dict'"
    assert row(text, 'iter') == '12'
    assert row(text, 'classes') == '7: a, b, c, d, e'
    assert (row(text, 'config'), row(text, 'optimizer')) == ('inside', 'not inside')
    assert row(text, 'layout') == "ours, the names of MAE, timm and DeiT, under 'backbone.'"
    assert row(text, 'head') == '1 tensors, 40 numbers, float32'
    assert row(text, 'sizes') == '8 channels, blocks (2,), patches of 4 px, images of 3 channels'
    assert row(text, 'encoder').endswith('float16')


@pytest.mark.shared
@pytest.mark.parametrize(
    ('layout', 'name'), [('pretrain/mixmim_base', 'mixmim-swin-base'), ('pretrain/mixmim_large', 'mixmim-swin-large')]
)
def test_official_models_are_called_by_their_names(layout, name):
    shapes = json.loads((SHARED / 'mixmim_official_layouts.json').read_text())[layout]['shapes']
    weights = {f'backbone.{key}': torch.zeros(()).expand(shape) for key, shape in shapes.items()}
    assert tool.sizes(weights, 'swin')['get_model'] == name


def test_one_of_two_encoders(tmp_path, capsys):
    both = {f'{who}.{name}': x for who in ('student', 'teacher') for name, x in MICRO['state_dict'].items()}
    text = printed(capsys, tmp_path, both, '--prefix', 'teacher.')
    assert '; 92 left out, another model: student.absolute_pos_embed, ' in row(text, 'layout')
    assert "there are 2 encoders, under 'student.', 'teacher.': choose one with `prefix`" in refused(tmp_path, both)


def refused(tmp_path, content, *options):
    if content is not None:
        torch.save(content, tmp_path / 'file.pth')
    with pytest.raises(SystemExit) as stopped:
        tool.main([str(tmp_path / 'file.pth'), *options])
    return stopped.value.code


def test_files_that_cannot_be_read_are_refused(tmp_path):
    assert refused(tmp_path, None).startswith(f'error: there is no checkpoint {tmp_path}/file.pth\n')
    (tmp_path / 'file.pth').write_text('no weights')
    assert 'file.pth cannot be read as weights without running code' in refused(tmp_path, None)
    assert 'no name ends in patch_embed.proj.weight' in refused(tmp_path, {'conv1.weight': torch.zeros(4, 3)})


# -- into the backbone of a config


def config_of(tmp_path, backbone, **around):
    model = dict(type='NoSuchModel', backbone=json.loads(json.dumps(backbone)), neck=dict(type='NoSuchNeck'))
    Config(dict(model=model, **around)).dump(tmp_path / 'config.py')
    return ('--config', str(tmp_path / 'config.py'))


@pytest.mark.parametrize('scope', ['mmpretrain', 'mmdet', 'mmseg'])
def test_a_config_shows_what_becomes_of_the_file(tmp_path, capsys, scope):
    """Only the backbone is built, in the scope of any library; a file that the config itself names is not needed."""
    dense = backbone_settings(CONFIG) | dict(img_size=128, out_indices=(0, 1, 2, 3))
    dense['init_cfg'] = dict(type='Pretrained', checkpoint='not_here.pth')
    text = printed(capsys, tmp_path, MICRO['state_dict'], *config_of(tmp_path, dense, default_scope=scope))
    assert '->MixMIMSwin:100.0%oftheparameters' in ''.join(text.split())  # a long path may be broken into lines
    assert 'absolute_pos_embed: 16 x 16 -> 32 x 32, bicubic' in text
    assert 'norm0.bias' in text


def test_prefix_and_share_are_the_configs_own(tmp_path, capsys):
    both = {f'{who}.{name}': x for who in ('student', 'teacher') for name, x in random_mae('finetuning').items()}
    load = dict(type='Pretrained', checkpoint='x.pth', prefix='teacher.')
    assert "under 'teacher.'" in printed(capsys, tmp_path, both, *config_of(tmp_path, vit(init_cfg=load)))
    options = config_of(tmp_path, vit(init_cfg=load | dict(min_share=1)))
    assert "all are needed. Missing: ['norm.bias', 'norm.weight']" in refused(tmp_path, both, *options)
    normal = dict(type='TruncNormal', layer='Linear', prefix='x.')  # is no file
    assert '100.0%' in printed(capsys, tmp_path, random_mae(), *config_of(tmp_path, vit(init_cfg=[normal])))


def test_other_encoders_are_refused(tmp_path):
    pytest.importorskip('mmpretrain.models')
    init_default_scope('mmseg')
    theirs = dict(type='MixMIMTransformer', arch=dict(embed_dims=8, depths=[1] * 4, num_heads=[1] * 4), img_size=64)
    message = refused(tmp_path, random_mae(), *config_of(tmp_path, theirs, default_scope='mmpretrain'))
    assert 'file.pth does not fit this MixMIMTransformer: ' in message
    message = refused(tmp_path, random_mae(), *config_of(tmp_path, backbone_settings(CONFIG)))
    assert 'file.pth does not fit this MixMIMSwin: read with the names of M' in message
    Config(dict(model=dict(type='X'))).dump(tmp_path / 'config.py')
    message = refused(tmp_path, random_mae(), '--config', str(tmp_path / 'config.py'))
    assert 'config.py has no model.backbone to load weights into' in message
