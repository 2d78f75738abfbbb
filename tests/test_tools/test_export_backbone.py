"""An encoder out of whatever is around it: the same to the bit, and nothing else."""

import pytest
import torch
from checkpoint_toys import build_mae, mixmim_like_mmpretrain, random_mae, vit
from references import build_encoder, load_reference
from safetensors.torch import load_file
from tool_loading import load_tool

from mixmae_mm.checkpoint.loading import load_backbone
from mixmae_mm.registry import MODELS
from mixmae_mm.version import __version__

tool = load_tool('model_converters/export_backbone.py')
MICRO = load_reference('mixmim_pretrain_micro.pt')
FINETUNED = load_reference('mixmim_finetune_micro.pt')['state_dict']
SWIN = {name: x for name, x in MICRO['state_dict'].items() if not name.startswith(('mask_token', 'decoder_'))}
MAE = {name: x for name, x in random_mae().items() if not name.startswith(('mask_token', 'decoder_'))}


def behind(prefix, weights):
    return {prefix + name: x for name, x in weights.items()}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(x, other[name]) for name, x in one.items())


def exported(tmp_path, content, *options, out='out.pth'):
    torch.save(content, tmp_path / 'in.pth')
    tool.main([str(tmp_path / 'in.pth'), str(tmp_path / out), *options])
    return tmp_path / out


def read(path):
    return torch.load(path, weights_only=True)


AROUND = {'rpn_head.rpn_conv.weight': torch.ones(1), 'neck.fpn_convs.0.conv.weight': torch.ones(1)}
NORMS = behind('backbone.', {'norm0.weight': torch.full((8,), 2.0), 'norm0.bias': torch.full((8,), 3.0)})
FILES = {
    'official, pre-training': (dict(model=MICRO['state_dict']), behind('backbone.', SWIN)),
    'official, fine-tuning': (
        FINETUNED,
        behind('backbone.', {name: x for name, x in FINETUNED.items() if not name.startswith('head.')}),
    ),
    'mmpretrain': (dict(state_dict=mixmim_like_mmpretrain(), meta={}), behind('backbone.', SWIN)),
    'ours, a detector': (
        dict(state_dict=behind('backbone.', SWIN) | AROUND | NORMS),
        behind('backbone.', SWIN) | NORMS,
    ),
    'ours, a segmentor': (
        dict(state_dict=behind('backbone.', MAE) | {'decode_head.conv_seg.bias': torch.ones(1)}),
        behind('backbone.', MAE),
    ),
    'MAE behind module.': (dict(model=behind('module.', random_mae())), behind('backbone.', MAE)),
}


@pytest.mark.parametrize('kind', FILES)
def test_the_encoder_and_nothing_else(tmp_path, kind):
    content, encoder = FILES[kind]
    file = read(exported(tmp_path, content))
    assert list(file) == ['state_dict', 'meta']
    assert equal(file['state_dict'], encoder)
    bare = read(exported(tmp_path, content, '--bare', '--force'))
    assert equal(behind('backbone.', bare['state_dict']), encoder)


@pytest.mark.parametrize('options', [(), ('--bare',)])
def test_it_loads_whole(tmp_path, options):
    report = load_backbone(build_encoder(MICRO['config']), str(exported(tmp_path, mixmim_like_mmpretrain(), *options)))
    assert (report.share, report.skipped) == (1, {})
    encoder = MODELS.build(vit())
    load_backbone(encoder, str(exported(tmp_path, random_mae(), *options, '--force')))
    assert torch.equal(encoder.blocks[1].mlp.fc2.weight, random_mae()['blocks.1.mlp.fc2.weight'])


def test_segments_of_mixtures_are_part_of_the_encoder(tmp_path):
    model = build_mae(num_sources=4)
    weights = read(exported(tmp_path, model.state_dict()))['state_dict']
    assert equal(weights, behind('backbone.', model.backbone.state_dict()))


def test_optimizer_and_logs_stay_behind_and_sizes_are_said(tmp_path, capsys):
    weights = behind('backbone.', MAE) | {'head.fc.weight': torch.zeros(250_000)}
    meta = dict(epoch=3, iter=12, dataset_meta=dict(classes=['a']), cfg='secret')
    content = dict(state_dict=weights, meta=meta, message_hub={}, optimizer=dict(state={0: torch.zeros(250_000)}))
    path = exported(tmp_path, content)
    assert read(path)['meta'] == dict(epoch=3, iter=12, dataset_meta=dict(classes=['a']), mixmae_mm_version=__version__)
    size = path.stat().st_size
    assert 2_000_000 < (tmp_path / 'in.pth').stat().st_size < 2_050_000
    assert size < 50_000
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path}/in.pth: 31 tensors, 2.0 MB, read as ours, the names of MAE, timm and DeiT, behind 'backbone.'",
        f'{path}: 30 tensors, 0.0 MB, the encoder alone',
    ]


def test_one_of_two_encoders(tmp_path):
    both = behind('student.', MAE) | behind('teacher.', {name: x + 1 for name, x in MAE.items()})
    weights = read(exported(tmp_path, both, '--prefix', 'teacher.'))['state_dict']
    assert equal(weights, behind('backbone.', {name: x + 1 for name, x in MAE.items()}))


def test_safetensors(tmp_path):
    assert equal(load_file(exported(tmp_path, random_mae(), '--bare', out='out.safetensors')), MAE)


def test_wrong_files_are_refused_and_nothing_written(tmp_path):
    for content, message in [
        (
            {'conv1.weight': torch.zeros(1)},
            'in.pth: no name ends in patch_embed.proj.weight or patch_embed.projection.w',
        ),
        (
            behind('a.', MAE) | behind('b.', MAE),
            "in.pth: there are 2 encoders, behind 'a.', 'b.': name one by `prefix`",
        ),
        ([1], 'in.pth holds a list, not weights by name: it is not a checkpoint'),
    ]:
        with pytest.raises(SystemExit) as stopped:
            exported(tmp_path, content, out='new/out.pth')
        assert message in stopped.value.code
        assert [path.name for path in tmp_path.iterdir()] == ['in.pth']


def test_nothing_is_overwritten_unasked(tmp_path):
    (tmp_path / 'out.pth').write_text('mine')
    with pytest.raises(SystemExit, match='out.pth is there already: give another name, or --force to overwrite it'):
        exported(tmp_path, random_mae())
    assert (tmp_path / 'out.pth').read_text() == 'mine'
    assert equal(read(exported(tmp_path, random_mae(), '--force'))['state_dict'], behind('backbone.', MAE))
