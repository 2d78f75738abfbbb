"""What a file is said to be: it holds, since the lines to paste build what it was and load it."""

import json
import re

import pytest
import torch
from checkpoint_toys import build_mae, mae_like_mmpretrain, mixmim_like_mmpretrain, random_mae, vit
from forked import Program
from micro_training import finish
from mmengine.config import Config
from mmengine.registry import init_default_scope
from references import SHARED, backbone_settings, build_encoder, build_pretrainer, load_reference, our_name
from safetensors.torch import save_file
from tool_loading import TOOLS, load_tool

from mixmae_mm.registry import MODELS

tool = load_tool('model_converters/inspect_checkpoint.py')
MICRO = load_reference('mixmim_pretrain_micro.pt')
CONFIG = MICRO['config']
ARCH_IN_CONFIG = 'model = dict(\n    backbone=dict(\n        arch=dict(depth=2, embed_dims=8, num_heads=2),\n'


def said(capsys, tmp_path, content, *options, name='file.pth'):
    path = str(tmp_path / name)
    (torch.save if name.endswith('.pth') else save_file)(content, path)
    tool.main([path, *options])
    return capsys.readouterr().out


def row(text, name):
    """The line of a table that begins so."""
    found = re.search(rf'^│ {re.escape(name)} +│ (.*?) *│$', text, re.MULTILINE)
    return re.sub(r' *│ *', ' | ', found[1]) if found else None


def pasted(text):
    """The backbone that the printed lines make."""
    lines = text[text.index('backbone=dict(') :]
    return eval(f'dict({lines[: lines.index(chr(10) + "),") + 3]})')['backbone']


def test_an_official_file(tmp_path, capsys):
    text = said(
        capsys, tmp_path, dict(model=MICRO['state_dict'], epoch=599, optimizer={}, scaler={}, loss=torch.ones(1))
    )
    rows = {
        'weights stand': "under 'model'",
        'tensors': '92',
        'epoch': '599',
        'iter': None,
        'config': 'not inside',
        'optimizer': 'inside: training can go on from it',
        'also inside': 'loss, scaler',
        'layout': 'the names of MixMIM, with nothing before them',
        'type': None,
        'encoder': 'mixmae_mm.MixMIMSwin',
        'arch': 'embed_dims 8, depths (1, 1, 1, 1), num_heads (1, 1, 2, 2)',
        'img_size': '64',
        'patch_size': '4',
        'window_sizes': '(4, 4, 4, 2)',
    }
    assert {name: row(text[text.index('the encoder') :] if name == 'encoder' else text, name) for name in rows} == rows
    model = build_pretrainer(CONFIG)
    count = {part: sum(p.numel() for p in getattr(model, part).parameters()) for part in ('backbone', 'neck')}
    assert row(text, 'encoder') == f'72 | {count["backbone"]:,} | float32, int64'
    assert row(text, 'decoder') == f'20 | {count["neck"]:,} | float32'
    assert '100.0% of the parameters load, by\nbackbone=dict(\n' in text


def test_our_own_file(tmp_path, capsys):
    meta = dict(epoch=3, iter=12, cfg=ARCH_IN_CONFIG, time='20261121', dataset_meta=dict(classes=list('abcdefg')))
    weights = {our_name(name): x.half() for name, x in random_mae().items()} | {
        'head.fc.weight': torch.ones(5, 8),
        'neck.1.bn.running_mean': torch.ones(8),
        'neck.1.bn.num_batches_tracked': torch.tensor(1),
    }
    text = said(capsys, tmp_path, dict(state_dict=weights, meta=meta))
    assert row(text, 'weights stand') == "under 'state_dict'"
    assert row(text, 'iter') == '12'
    assert row(text, 'classes') == '7: a, b, c, d, e, ...'
    assert row(text, 'config') == 'inside, as text'
    assert row(text, 'optimizer') == 'not inside'
    assert row(text, 'layout') == "ours, the names of MAE, timm and DeiT, behind 'backbone.'"
    assert row(text, 'head') == '1 | 40 | float32'
    assert row(text, 'neck') == '2 | 0 | float32, int64'
    assert row(text, 'arch') == 'embed_dims 8, depth 2, num_heads 2'
    assert 'num_heads is' not in text


WIDE = dict(arch=dict(embed_dims=8, depths=(1, 3, 1), num_heads=(1, 2, 4)), img_size=(96, 64), patch_size=4)
WIDE |= dict(type='mixmae_mm.MixMIMSwin', window_sizes=((4, 8), (12, 8), 2), wide_blocks=(2,), wide_window=(2, 4))
ENCODERS = {
    'swin': backbone_settings(CONFIG),
    'swin for dense tasks': backbone_settings(CONFIG) | dict(out_indices=(0, 1, 2, 3)),
    'swin, two maps': backbone_settings(CONFIG) | dict(out_indices=(0, 2)),
    'swin, not square, wide windows': WIDE | dict(out_indices=(2,), in_channels=4, mlp_ratio=2.0),
    'vit': vit(),
    'vit, not square': vit() | dict(img_size=(16, 32), patch_size=8, in_channels=1, mlp_ratio=3.0),
    'vit, mean': vit(out_type='avg_featmap'),
    'vit, raw': vit(final_norm=False),
    'vit, mixtures': vit(num_sources=4),
}


@pytest.mark.parametrize('kind', ENCODERS)
def test_the_lines_to_paste_are_the_encoder_that_was(tmp_path, capsys, kind):
    encoder = MODELS.build(ENCODERS[kind])
    file = dict(state_dict={f'backbone.{name}': x for name, x in encoder.state_dict().items()})
    settings = pasted(said(capsys, tmp_path, file | dict(meta=dict(cfg=ARCH_IN_CONFIG))))
    assert settings.pop('init_cfg') == dict(type='Pretrained', checkpoint=str(tmp_path / 'file.pth'))
    plain = json.loads(json.dumps(ENCODERS[kind]))
    assert json.loads(json.dumps(settings)) == plain
    again = MODELS.build(settings | dict(init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'file.pth'))))
    again.init_weights()
    images = torch.randn(2, plain.get('in_channels', 3), 32, 64)
    with torch.no_grad():
        for one, other in zip(again.eval()(images), encoder.eval()(images), strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize('file', [mixmim_like_mmpretrain(), mae_like_mmpretrain(random_mae())])
def test_mmpretrains_files(tmp_path, capsys, file):
    settings = pasted(said(capsys, tmp_path, file | {'head.fc.weight': torch.ones(1)}))
    swin = 'Swin' in settings['type']
    expected = backbone_settings(CONFIG) if swin else vit() | dict(arch=dict(embed_dims=8, depth=2, num_heads=None))
    assert {name: x for name, x in settings.items() if name != 'init_cfg'} == json.loads(
        json.dumps(expected),
        object_hook=lambda read: {k: tuple(x) if isinstance(x, list) else x for k, x in read.items()},
    )


def test_windows_without_an_index_are_taken_for_square_ones(tmp_path, capsys):
    file = {name: x for name, x in MICRO['state_dict'].items() if 'index' not in name}
    assert pasted(said(capsys, tmp_path, file, name='file.safetensors'))['window_sizes'] == (4, 4, 4, 2)
    file['layers.1.blocks.0.attn.relative_position_bias_table'] = torch.zeros(21, 1)
    message = 'a relative_position_bias_table of 21 entries is of no square window'
    assert message in refused(tmp_path, file)


def test_an_encoder_without_its_norm(tmp_path, capsys):
    """As those of dense tasks and of `frozen` files may be; the default would ask for a fourth stage."""
    weights = MODELS.build(WIDE | dict(out_indices=(2,))).state_dict()
    text = said(capsys, tmp_path, {name: x for name, x in weights.items() if not name.startswith('norm')})
    assert pasted(text)['out_indices'] == (2,)
    assert '% of the parameters load (missing: norm.bias, norm.weight), by\n' in text


def large(settings):
    """The weights of a large encoder without its memory: only tables and indices are there."""
    with torch.device('meta'):
        shapes = MODELS.build(settings).state_dict()
    small = MODELS.build(settings | dict(arch=small_arch(settings)))
    held = {name: x for name, x in small.state_dict().items() if name.endswith(('pos_embed', 'index'))}
    blank = {name: torch.zeros((), dtype=x.dtype).expand(x.shape) for name, x in shapes.items()}
    for name, x in held.items():
        blank[name] = x if name.endswith('index') else x.repeat(1, 1, shapes[name].shape[2] // x.shape[2])
    return blank


def small_arch(settings):
    if 'Swin' in settings['type']:
        depths = (2, 2, 6, 2) if settings['arch'] == 'tiny' else (2, 2, 18, 2)
        return dict(embed_dims=32, depths=depths, num_heads=(1, 1, 1, 1))
    return dict(embed_dims=64, depth=1, num_heads=1)


@pytest.mark.parametrize('name', ['tiny', 'base', 'large', 'huge'])
def test_known_swins_are_called_by_their_names(name):
    settings = dict(type='mixmae_mm.MixMIMSwin', arch=name, img_size=224, patch_size=4, window_sizes=(14, 14, 14, 7))
    read, remarks = tool.read_settings(large(settings), 'swin')
    assert read == settings
    assert remarks == []


@pytest.mark.parametrize('name', ['small', 'base', 'large'])
def test_known_vits_are_called_by_their_names_and_heads_by_what_is_known(name):
    settings = dict(type='mixmae_mm.MixingViT', arch=name, img_size=224, patch_size=16)
    weights = large(settings)
    read, remarks = tool.read_settings(weights, 'vit')
    assert read == settings
    assert remarks == [f"num_heads are those of '{name}': the weights of a plain ViT do not tell"]
    weights = {key: x for key, x in weights.items() if not key.startswith('blocks.11.')}
    read, remarks = tool.read_settings(weights, 'vit')
    assert read['arch']['num_heads'] * 64 == read['arch']['embed_dims']
    assert remarks == ['num_heads is a guess, 64 channels each: see the training']
    assert tool.read_settings(weights, 'vit', ARCH_IN_CONFIG)[0]['arch']['num_heads'] == 2


def test_heads_that_nothing_tells_are_left_open(tmp_path, capsys):
    text = said(capsys, tmp_path, random_mae())
    assert row(text, 'arch') == 'embed_dims 8, depth 2, num_heads not known'
    assert '    arch=dict(embed_dims=8, depth=2, num_heads=None),\n' in text
    assert text.endswith('not known: neither the weights of a plain ViT nor a config in the file tell\n')


def test_one_of_two_encoders(tmp_path, capsys):
    both = {f'{who}.{name}': x for who in ('student', 'teacher') for name, x in MICRO['state_dict'].items()}
    text = said(capsys, tmp_path, both, '--prefix', 'teacher.')
    assert row(text, 'beside it').startswith('92 left out, another model: student.absolute_pos_embed, ')
    assert pasted(text)['init_cfg']['prefix'] == 'teacher.'
    assert "there are 2 encoders, behind 'student.', 'teacher.': name one by `prefix`" in refused(tmp_path, both)


def refused(tmp_path, content, *options):
    torch.save(content, tmp_path / 'file.pth')
    with pytest.raises(SystemExit) as stopped:
        tool.main([str(tmp_path / 'file.pth'), *options])
    return stopped.value.code


def test_files_that_would_be_refused(tmp_path, capsys):
    message = refused(tmp_path, {'conv1.weight': torch.zeros(4, 3), 'fc.bias': torch.zeros(2)})
    assert message.startswith('error: no name ends in patch_embed.proj.weight or patch_embed.projection.weight, which')
    assert row(capsys.readouterr().out, 'tensors') == '2'
    half = {name: x for name, x in random_mae().items() if name != 'pos_embed'}
    assert refused(tmp_path, half).startswith('error: pos_embed is missing: the file holds a part of an encoder, or an')
    scaled = random_mae() | {'blocks.0.ls1.gamma': torch.ones(8)}
    assert "there is no place here for 1 of its tensors, such as ['blocks.0.ls1.gamma']" in refused(tmp_path, scaled)
    assert 'backbone=dict(' not in capsys.readouterr().out
    flat = random_mae() | {'patch_embed.proj.weight': torch.zeros(8, 3, 4, 2)}
    assert refused(tmp_path, flat).startswith(
        'error: patch_embed.proj.weight is (8, 3, 4, 2): patches of ours are square'
    )
    odd = random_mae() | dict(pos_embed=torch.randn(1, 16, 8))
    odd['pos_embed'][:, 0] = 0
    message = 'error: pos_embed holds 15 entries, no square, and does not tell its sides'
    assert refused(tmp_path, odd).startswith(message)


def test_files_that_cannot_be_read(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        tool.main([str(tmp_path / 'nowhere.pth')])
    assert stopped.value.code.startswith(f'error: there is no checkpoint {tmp_path}/nowhere.pth\n')
    (tmp_path / 'file.pth').write_text('no weights')
    with pytest.raises(SystemExit) as stopped:
        tool.main([str(tmp_path / 'file.pth')])
    assert 'file.pth cannot be read as weights without running code' in stopped.value.code
    assert capsys.readouterr().out == ''


# -- into the backbone of a config


def config_of(tmp_path, backbone, **around):
    model = dict(type='NoSuchModel', backbone=json.loads(json.dumps(backbone)), neck=dict(type='NoSuchNeck'))
    Config(dict(model=model, **around)).dump(tmp_path / 'config.py')
    return ('--config', str(tmp_path / 'config.py'))


@pytest.mark.parametrize('scope', ['mmpretrain', 'mmdet', 'mmseg'])
def test_a_config_is_told_what_becomes_of_the_file(tmp_path, capsys, scope):
    """Only the backbone is built, in the scope of any host; a file that the config itself names is not needed."""
    dense = backbone_settings(CONFIG) | dict(img_size=128, out_indices=(0, 1, 2, 3))
    dense['init_cfg'] = dict(type='Pretrained', checkpoint='not_here.pth')
    text = said(capsys, tmp_path, MICRO['state_dict'], *config_of(tmp_path, dense, default_scope=scope))
    title = f'{tmp_path}/file.pth -> MixMIMSwin: 100.0% of the parameters'
    assert ''.join(title.split()) in ''.join(text.split())  # a long path is broken into lines
    assert 'resized (1):\n    absolute_pos_embed: 16 x 16 -> 32 x 32, bicubic\n' in text
    assert 'norm0.bias' in text


def test_prefix_and_share_are_the_configs_own(tmp_path, capsys):
    both = {f'{who}.{name}': x for who in ('student', 'teacher') for name, x in random_mae('finetuning').items()}
    load = dict(type='Pretrained', checkpoint='x.pth', prefix='teacher.')
    assert "behind 'teacher.'" in said(capsys, tmp_path, both, *config_of(tmp_path, vit(init_cfg=load)))
    options = config_of(tmp_path, vit(init_cfg=load | dict(min_share=1)))
    assert "all are needed. Missing: ['norm.bias', 'norm.weight']" in refused(tmp_path, both, *options)


def test_other_initializations_are_no_files(tmp_path, capsys):
    normal = dict(type='TruncNormal', layer='Linear', prefix='x.')
    for init in (normal, [normal]):
        assert '100.0%' in said(capsys, tmp_path, random_mae(), *config_of(tmp_path, vit(init_cfg=init)))


def test_encoders_of_the_config_s_own_host(tmp_path):
    pytest.importorskip('mmpretrain.models')
    init_default_scope('mmseg')
    theirs = dict(type='MixMIMTransformer', arch=dict(embed_dims=8, depths=[1] * 4, num_heads=[1] * 4), img_size=64)
    message = refused(tmp_path, random_mae(), *config_of(tmp_path, theirs, default_scope='mmpretrain'))
    assert 'file.pth does not go with this MixMIMTransformer: ' in message


def test_the_report_is_printed_once(tmp_path):
    torch.save(random_mae('finetuning'), tmp_path / 'file.pth')
    script = TOOLS / 'model_converters/inspect_checkpoint.py'
    out, err = finish(Program(script, tmp_path / 'file.pth', *config_of(tmp_path, vit())))
    assert out.count('MISSING, starts anew') == 1
    assert 'MISSING' not in err


def test_another_encoder_is_refused(tmp_path):
    message = refused(tmp_path, random_mae(), *config_of(tmp_path, backbone_settings(CONFIG)))
    assert message.startswith(
        f'error: {tmp_path}/file.pth does not go with this MixMIMSwin: taken to have the names of M'
    )
    Config(dict(model=dict(type='X'))).dump(tmp_path / 'config.py')
    message = refused(tmp_path, random_mae(), '--config', str(tmp_path / 'config.py'))
    assert message.startswith(f'error: {tmp_path}/config.py has no model.backbone to load weights into')


@pytest.mark.shared
@pytest.mark.parametrize('size', ['pretrain_tiny', 'pretrain_tiny_224', 'finetune_tiny', 'finetune_tiny_384w'])
def test_official_sizes(capsys, size):
    config = load_reference(f'mixmim_{size}.pt')['config']
    tool.main([str(SHARED / f'mixmim_{size}.pt')])
    expected = build_encoder(config)
    read = MODELS.build({name: x for name, x in pasted(capsys.readouterr().out).items() if name != 'init_cfg'})
    assert {name: x.shape for name, x in read.state_dict().items()} == {
        name: x.shape for name, x in expected.state_dict().items()
    }
    assert read.arch == expected.arch


def test_our_pretrainers_files(tmp_path, capsys):
    text = said(capsys, tmp_path, build_mae(num_sources=4).state_dict())
    assert row(text, 'num_sources') == '4'
    assert row(text, 'decoder').startswith('20 | ')
