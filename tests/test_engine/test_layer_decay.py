"""Layer-wise decay: the official scales and weight decays, for every downstream library."""

import json

import pytest
import torch
from references import SHARED
from torch import nn

from mixmae_mm.models import MixMIMSwin
from mixmae_mm.registry import OPTIM_WRAPPER_CONSTRUCTORS


class Downstream(nn.Module):
    """A model around an encoder, as downstream libraries build them."""

    def __init__(self, backbone, classes=10):
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(8, classes)


def build_optimizer(model, lr=2e-3, weight_decay=0.05, **paramwise):
    constructor = OPTIM_WRAPPER_CONSTRUCTORS.build(
        dict(
            type='mixmae_mm.LayerDecayOptimWrapperConstructor',
            optim_wrapper_cfg=dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=lr, weight_decay=weight_decay)),
            paramwise_cfg=paramwise,
        )
    )
    return constructor(model).optimizer


def settings_by_name(model, optimizer):
    names = {id(p): name for name, p in model.named_parameters()}
    return {
        names[id(p)]: (group['lr'], group['weight_decay']) for group in optimizer.param_groups for p in group['params']
    }


@pytest.fixture(scope='module')
def base():
    with torch.device('meta'):
        return Downstream(MixMIMSwin('base'), classes=1000)


LAYERS = {
    'backbone.patch_embed.proj.weight': 0,
    'backbone.layers.0.blocks.0.attn.qkv.weight': 1,
    'backbone.layers.0.downsample.reduction.weight': 3,
    'backbone.layers.1.blocks.0.attn.proj.weight': 3,
    'backbone.layers.1.downsample.reduction.weight': 5,
    'backbone.layers.2.blocks.0.norm1.weight': 5,
    'backbone.layers.2.blocks.17.mlp.fc2.weight': 22,
    'backbone.layers.2.downsample.norm.weight': 23,
    'backbone.layers.3.blocks.1.mlp.fc2.weight': 24,
    'backbone.norm.weight': 24,
    'head.weight': 24,
}


def test_official_rule(base):
    """And parameters of one dimension have no weight decay, frozen ones are left out."""
    optimizer = build_optimizer(base, layer_decay_rate=0.7)
    settings = settings_by_name(base, optimizer)
    assert {name: settings[name][0] for name in LAYERS} == pytest.approx(
        {name: 2e-3 * 0.7 ** (25 - layer) for name, layer in LAYERS.items()}
    )
    assert len(optimizer.param_groups) == 50
    trained = {name: parameter for name, parameter in base.named_parameters() if parameter.requires_grad}
    assert {name: decay for name, (_, decay) in settings.items()} == {
        name: 0 if parameter.ndim == 1 else 0.05 for name, parameter in trained.items()
    }
    assert 'backbone.absolute_pos_embed' not in settings


def test_head_at_full_rate_and_spared_names(base):
    optimizer = build_optimizer(base, layer_decay_rate=0.7, head_decay=False, no_decay=['relative_position_bias_table'])
    settings = settings_by_name(base, optimizer)
    assert settings['head.weight'][0] == 2e-3
    assert settings['backbone.norm.weight'][0] == pytest.approx(1.4e-3)
    assert settings['backbone.layers.0.blocks.0.attn.relative_position_bias_table'][1] == 0
    assert settings['backbone.layers.0.blocks.0.attn.qkv.weight'][1] == 0.05


def test_without_decay_there_are_two_groups_at_one_rate(base):
    groups = build_optimizer(base, lr=1.2e-3, layer_decay_rate=1.0).param_groups
    assert [(group['lr'], group['weight_decay']) for group in groups] == [(1.2e-3, 0.0), (1.2e-3, 0.05)]


@pytest.mark.shared
def test_every_parameter_of_the_official_base(base):
    layouts = json.loads((SHARED / 'mixmim_official_layouts.json').read_text())
    official = layouts['finetune/mixmim_base/layer_decay_0.7']
    settings = settings_by_name(base, build_optimizer(base, lr=1.0, layer_decay_rate=0.7))
    ours = {name.removeprefix('backbone.'): value for name, value in settings.items()}
    assert ours.keys() == official.keys()
    for name, (scale, decay) in ours.items():
        assert (scale, decay) == pytest.approx((official[name]['lr_scale'], official[name]['weight_decay'])), name


def test_a_backbone_that_does_not_give_its_depths_is_refused():
    with pytest.raises(ValueError, match=r'0\.7 .*get_layer_depth.* Linear lacks'):
        build_optimizer(Downstream(nn.Linear(8, 8)), layer_decay_rate=0.7)


@pytest.mark.parametrize(
    ('paramwise', 'said'),
    [
        (dict(), r'layer_decay_rate \(required\), head_decay and no_decay, got nothing'),
        (dict(layer_decay_rate=0.7, decay_rate=0.7), "got .'decay_rate', 'layer_decay_rate'"),
        (dict(layer_decay_rate=1.0, no_decay='bias'), "no_decay a list of name parts, got .* 'bias'"),
    ],
)
def test_wrong_settings_are_refused(paramwise, said, base):
    with pytest.raises(ValueError, match=said):
        build_optimizer(base, **paramwise)
