"""Encoders from files: what loads, and what is refused with which words."""

from argparse import Namespace

import pytest
import torch
from references import build_encoder, build_pretrainer, load_reference, our_name

from mixmae_mm.checkpoints import load_backbone

REFERENCE = load_reference('mixmim_pretrain_micro.pt')
CONFIG = REFERENCE['config']


def saved(tmp_path, content):
    torch.save(content, tmp_path / 'file.pth')
    return str(tmp_path / 'file.pth')


@pytest.mark.parametrize('layout', ['mmengine', 'official', 'bare'])
def test_layouts(tmp_path, layout):
    official = REFERENCE['state_dict']
    ours = {our_name(name): value for name, value in official.items()}
    content = {
        'mmengine': dict(state_dict=ours, meta={}),
        'official': dict(model=official, epoch=3, args=Namespace(lr=1)),
        'bare': official,
    }
    encoder = build_encoder(CONFIG)
    load_backbone(encoder, saved(tmp_path, content[layout]))
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, official[name]), name


def test_init_cfg_loads_into_the_encoder(tmp_path):
    path = saved(tmp_path, dict(state_dict=build_pretrainer(CONFIG).state_dict()))
    init = dict(type='Pretrained', checkpoint=path, prefix='backbone.')
    encoder = build_encoder(CONFIG, init_cfg=init)
    before = encoder.layers[0].blocks[0].attn.qkv.weight.clone()
    encoder.init_weights()
    stored = torch.load(path)['state_dict']['backbone.layers.0.blocks.0.attn.qkv.weight']
    assert not torch.equal(before, stored)
    assert torch.equal(encoder.layers[0].blocks[0].attn.qkv.weight, stored)


def test_another_model_is_refused(tmp_path):
    path = saved(tmp_path, dict(state_dict={'backbone.conv1.weight': torch.zeros(4, 3, 7, 7)}))
    with pytest.raises(
        ValueError, match=r"prefix 'backbone.'\) holds 0% of this MixMIMSwin's .*found: \['conv1.weight'\]"
    ):
        load_backbone(build_encoder(CONFIG), path)


@pytest.mark.parametrize('part', ['layers.3', 'patch_embed.norm', 'absolute_pos_embed'])
def test_a_part_of_a_model_is_refused_and_nothing_loaded(tmp_path, part):
    half = {name: value + 1 for name, value in REFERENCE['state_dict'].items() if not name.startswith(part)}
    encoder = build_encoder(CONFIG)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    with pytest.raises(ValueError, match=rf'parameters, all are needed. Missing: \[.{part}'):
        load_backbone(encoder, saved(tmp_path, half))
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


def test_another_size_is_refused(tmp_path):
    other = build_encoder(CONFIG | dict(embed_dim=16))
    with pytest.raises(ValueError, match='is of another size than this MixMIMSwin'):
        load_backbone(build_encoder(CONFIG), saved(tmp_path, other.state_dict()))


@pytest.mark.parametrize(
    ('content', 'message'),
    [([1, 2], 'holds a list, not weights by name'), (dict(epoch=3), r"holds no weights, only \['epoch'\]")],
)
def test_a_file_without_weights_is_refused(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        load_backbone(build_encoder(CONFIG), saved(tmp_path, content))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere.pth'):
        load_backbone(build_encoder(CONFIG), str(tmp_path / 'nowhere.pth'))


def test_new_norms_of_a_dense_task_may_be_missing(tmp_path):
    encoder = build_encoder(CONFIG, out_indices=(0, 1, 2, 3))
    load_backbone(encoder, saved(tmp_path, REFERENCE['state_dict']))
    assert torch.equal(encoder.norm.weight, REFERENCE['state_dict']['norm.weight'])
    assert torch.equal(encoder.norm0.weight, torch.ones(8))


class Attack:
    def __reduce__(self):
        return exec, ('raise SystemExit("code was run")',)


def test_a_file_that_wants_to_run_code_is_refused(tmp_path):
    with pytest.raises(ValueError, match='cannot be read as weights without running code'):
        load_backbone(build_encoder(CONFIG), saved(tmp_path, dict(model=Attack())))


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / 'file.pth').write_text('not a checkpoint')
    with pytest.raises(ValueError, match='cannot be read as weights'):
        load_backbone(build_encoder(CONFIG), str(tmp_path / 'file.pth'))
