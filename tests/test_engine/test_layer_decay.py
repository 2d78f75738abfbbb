"""Layer-wise decay: the official scales and weight decays, for every downstream library."""

import json

import pytest
import torch
from mmengine.registry import DefaultScope
from references import SHARED
from torch import nn

from mixmae_mm.models import MixMIMSwin
from mixmae_mm.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS


class Host(nn.Module):
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
        return Host(MixMIMSwin('base'), classes=1000)


@pytest.mark.parametrize(
    ('name', 'layer'),
    [
        ('backbone.patch_embed.proj.weight', 0),
        ('backbone.layers.0.blocks.0.attn.qkv.weight', 1),
        ('backbone.layers.0.blocks.1.mlp.fc1.weight', 2),
        ('backbone.layers.0.downsample.reduction.weight', 3),
        ('backbone.layers.1.blocks.0.attn.proj.weight', 3),
        ('backbone.layers.1.downsample.reduction.weight', 5),
        ('backbone.layers.2.blocks.0.norm1.weight', 5),
        ('backbone.layers.2.blocks.17.mlp.fc2.weight', 22),
        ('backbone.layers.2.downsample.norm.weight', 23),
        ('backbone.layers.3.blocks.1.mlp.fc2.weight', 24),
        ('backbone.norm.weight', 24),
        ('head.weight', 24),
    ],
)
def test_official_rule(base, name, layer):
    settings = settings_by_name(base, build_optimizer(base, layer_decay_rate=0.7))
    assert settings[name][0] == pytest.approx(2e-3 * 0.7 ** (25 - layer))


def test_fifty_groups_and_none_at_the_full_rate(base):
    groups = build_optimizer(base, layer_decay_rate=0.7).param_groups
    assert len(groups) == 50
    assert max(group['lr'] for group in groups) == pytest.approx(1.4e-3)


def test_weight_decay_spares_parameters_of_one_dimension(base):
    settings = settings_by_name(base, build_optimizer(base, layer_decay_rate=0.7))
    for name, parameter in base.named_parameters():
        if parameter.requires_grad:
            assert settings[name][1] == (0 if parameter.ndim == 1 else 0.05), name
    assert settings['backbone.layers.0.blocks.0.attn.relative_position_bias_table'][1] == 0.05


def test_frozen_parameters_are_left_out(base):
    assert 'backbone.absolute_pos_embed' not in settings_by_name(base, build_optimizer(base, layer_decay_rate=0.7))


def test_head_at_full_rate(base):
    settings = settings_by_name(base, build_optimizer(base, layer_decay_rate=0.7, head_decay=False))
    assert settings['head.weight'][0] == 2e-3
    assert settings['backbone.norm.weight'][0] == pytest.approx(1.4e-3)


def test_names_can_be_spared(base):
    optimizer = build_optimizer(base, layer_decay_rate=0.7, no_decay=['relative_position_bias_table'])
    settings = settings_by_name(base, optimizer)
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
    model = Host(nn.Linear(8, 8))
    with pytest.raises(ValueError, match=r'0.7 needs a backbone with get_layer_depth.* Linear has not'):
        build_optimizer(model, layer_decay_rate=0.7)
    assert len(build_optimizer(model, layer_decay_rate=1.0).param_groups) == 2


def test_a_bare_string_of_names_is_refused(base):
    with pytest.raises(ValueError, match="no_decay takes a list of parts of names, got 'bias'"):
        build_optimizer(base, layer_decay_rate=1.0, no_decay='bias')


@pytest.mark.parametrize('paramwise', [{}, dict(layer_decay_rate=0.7, decay_rate=0.7)])
def test_unknown_settings_are_refused(paramwise, base):
    with pytest.raises(ValueError, match=r'layer_decay_rate \(needed\), head_decay and no_decay, got'):
        build_optimizer(base, **paramwise)


BACKBONE = dict(
    type='mixmae_mm.MixMIMSwin',
    arch=dict(embed_dims=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2)),
    img_size=64,
    out_indices=(0, 1, 2, 3),
)


@pytest.fixture
def scope(request):
    """Build as a runner does whose config has this default scope, whatever ran before."""
    with DefaultScope.overwrite_default_scope(request.param):
        yield


@pytest.mark.parametrize('scope', ['mmpretrain'], indirect=True)
@pytest.mark.usefixtures('scope')
def test_inside_mmpretrain():
    pytest.importorskip('mmpretrain', reason='named in configs, not needed by the package')
    head = dict(type='mmpretrain.LinearClsHead', num_classes=3, in_channels=64)
    neck = dict(type='mmpretrain.GlobalAveragePooling')
    model = MODELS.build(dict(type='mmpretrain.ImageClassifier', backbone=BACKBONE, neck=neck, head=head))
    settings = settings_by_name(model, build_optimizer(model, lr=1.0, layer_decay_rate=0.5))
    assert settings['head.fc.weight'][0] == 0.5
    assert settings['backbone.layers.3.blocks.0.attn.qkv.weight'][0] == 0.5
    assert settings['backbone.patch_embed.proj.weight'][0] == 0.5**5


@pytest.mark.dense
@pytest.mark.parametrize('scope', ['mmseg'], indirect=True)
@pytest.mark.usefixtures('scope')
def test_inside_mmseg():
    pytest.importorskip('mmseg', reason='the dense requirements are not installed')
    head = dict(type='mmseg.FCNHead', in_channels=64, in_index=3, channels=8, num_classes=2)
    model = MODELS.build(dict(type='mmseg.EncoderDecoder', backbone=BACKBONE, decode_head=head))
    settings = settings_by_name(model, build_optimizer(model, lr=1.0, layer_decay_rate=0.5, head_decay=False))
    assert settings['decode_head.conv_seg.weight'][0] == 1.0
    assert settings['backbone.norm0.weight'][0] == 0.5


@pytest.mark.dense
@pytest.mark.parametrize('scope', ['mmdet'], indirect=True)
@pytest.mark.usefixtures('scope')
def test_inside_mmdet():
    pytest.importorskip('mmdet', reason='the dense requirements are not installed')
    detector = dict(
        type='mmdet.RetinaNet',
        backbone=BACKBONE,
        neck=dict(type='mmdet.FPN', in_channels=[8, 16, 32, 64], out_channels=8, num_outs=5),
        bbox_head=dict(
            type='mmdet.RetinaHead',
            num_classes=2,
            in_channels=8,
            feat_channels=8,
            anchor_generator=dict(
                type='mmdet.AnchorGenerator',
                octave_base_scale=4,
                scales_per_octave=1,
                ratios=[1.0],
                strides=[4, 8, 16, 32, 64],
            ),
            bbox_coder=dict(type='mmdet.DeltaXYWHBBoxCoder'),
            loss_cls=dict(type='mmdet.FocalLoss'),
            loss_bbox=dict(type='mmdet.L1Loss'),
        ),
    )
    model = MODELS.build(detector)
    settings = settings_by_name(model, build_optimizer(model, lr=1.0, layer_decay_rate=0.5))
    assert settings['neck.lateral_convs.0.conv.weight'][0] == 0.5
    assert settings['backbone.layers.1.blocks.0.attn.qkv.weight'][0] == 0.5**3
