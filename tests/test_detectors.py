"""The detectors that are built as their sources have them: ViTDet's in detectron2, iBOT's in its repository."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from shipped_configs import ROOT
from torch import nn

pytest.importorskip('mmcv._ext', reason='needs mmcv with compiled ops')


def built(name):
    config = Config.fromfile(ROOT / f'detection/{name}_coco.py')
    init_default_scope(config.default_scope)
    with torch.device('meta'):
        model = MODELS.build(config.model)
    init_default_scope('mmpretrain')
    return config, model


def layers(part):
    """List what has weights: (kind, channels in, out, kernel, whether with bias), norms as (kind, channels)."""
    found = []
    for layer in part.modules():
        kind = type(layer).__name__
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            found.append((kind, layer.in_channels, layer.out_channels, layer.kernel_size[0], layer.bias is not None))
        elif isinstance(layer, nn.Linear):
            found.append((kind, layer.in_features, layer.out_features, 1, layer.bias is not None))
        elif isinstance(layer, (nn.LayerNorm, nn.SyncBatchNorm, nn.BatchNorm2d)):
            found.append((kind, getattr(layer, 'num_features', None) or layer.normalized_shape[0]))
    return sorted(found, key=str)


def conv(inputs, outputs, size, bias=False):
    return ('Conv2d', inputs, outputs, size, bias)


def up(inputs, outputs):
    return ('ConvTranspose2d', inputs, outputs, 2, True)


def vitdet(width):
    """Write out the parts of ViTDet behind its encoder, as configs/common/models/mask_rcnn_vitdet.py makes them."""
    norm, half, quarter = ('ChannelNorm', 256), width // 2, width // 4
    return dict(
        neck=[
            up(width, half), ('ChannelNorm', half), up(half, quarter),
            conv(quarter, 256, 1), norm, conv(256, 256, 3), norm,
            up(width, half), conv(half, 256, 1), norm, conv(256, 256, 3), norm,
            conv(width, 256, 1), norm, conv(256, 256, 3), norm,
            conv(width, 256, 1), norm, conv(256, 256, 3), norm,
        ],
        rpn_head=[conv(256, 256, 3, True), conv(256, 256, 3, True), conv(256, 3, 1, True), conv(256, 12, 1, True)],
        bbox_head=[
            *4 * [conv(256, 256, 3), norm],
            ('Linear', 256 * 7 * 7, 1024, 1, True), ('Linear', 1024, 81, 1, True), ('Linear', 1024, 320, 1, True),
        ],
        mask_head=[*4 * [conv(256, 256, 3), norm], up(256, 256), conv(256, 80, 1, True)],
    )  # fmt: skip


LSJ, SHORT = 'mask-rcnn_vit-{}_fpn_8xb8-amp-lsj-100e', 'mask-rcnn_vit-base_fpn_8xb2-amp-ms-1x'


@pytest.mark.parametrize(('name', 'width'), [(LSJ.format('base'), 768), (LSJ.format('large'), 1024), (SHORT, 768)])
def test_vitdet_layer_by_layer(name, width):
    _, model = built(name)
    parts = dict(
        neck=model.neck, rpn_head=model.rpn_head, bbox_head=model.roi_head.bbox_head, mask_head=model.roi_head.mask_head
    )
    for part, expected in vitdet(width).items():
        assert layers(parts[part]) == sorted(expected, key=str), part
    norms = [layer for part in parts.values() for layer in part.modules() if isinstance(layer, nn.LayerNorm)]
    assert {layer.eps for layer in norms} == {1e-6}


@pytest.mark.parametrize(('size', 'depth', 'see_all'), [('base', 12, (2, 5, 8, 11)), ('large', 24, (5, 11, 17, 23))])
def test_blocks_of_vitdet_look_inside_windows_but_for_four(size, depth, see_all):
    _, model = built(LSJ.format(size))
    windowed = [type(block.attn).__name__ == 'WindowedAttention' for block in model.backbone.blocks]
    assert windowed == [block not in see_all for block in range(depth)]
    assert model.backbone.window == (14, 14)


def test_regions_of_vitdet_are_matched_as_in_detectron2():
    _, model = built(LSJ.format('base'))
    assert not model.roi_head.bbox_assigner.match_low_quality
    assert model.rpn_head.assigner.match_low_quality


def test_cascade_mask_rcnn_is_ibots():
    config, model = built('cascade-mask-rcnn_vit-base_fpn_8xb2-amp-ms-1x')
    assert (type(model.rpn_head.loss_bbox).__name__, model.rpn_head.loss_bbox.beta) == ('SmoothL1Loss', 1 / 9)
    assert config.model.train_cfg.rpn.allowed_border == 0
    assert [assigner.match_low_quality for assigner in model.roi_head.bbox_assigner] == [False] * 3
    assert [assigner.pos_iou_thr for assigner in model.roi_head.bbox_assigner] == [0.5, 0.6, 0.7]
    norm, width = ('SyncBatchNorm', 768), 768
    assert layers(model.neck[0]) == sorted([up(width, width), norm, up(width, width), up(width, width)], key=str)
    assert layers(model.neck[1]) == sorted([*4 * [conv(width, 256, 1, True)], *4 * [conv(256, 256, 3, True)]], key=str)
    for head in model.roi_head.bbox_head:
        assert [layer for layer in layers(head) if layer[0] != 'Linear'] == sorted(
            [*4 * [conv(256, 256, 3)], *4 * [('SyncBatchNorm', 256)]], key=str
        )
        assert (type(head.loss_bbox).__name__, head.loss_bbox.loss_weight) == ('GIoULoss', 10.0)
