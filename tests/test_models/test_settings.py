"""Settings that do not go together are refused with what was given; those that do work from a config, too."""

import math
from functools import partial

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from tiny_mixmae import SWIN, tiny_mixedae, tiny_model

from mixmae_mm.models import MixingViT, MixMIMSwin, ViTPyramid
from mixmae_mm.models.utils.pos_embed import pair
from mixmae_mm.registry import MODELS
from mixmae_mm.utils.validation import check_positive, check_rate, check_share, check_whole

VIT = dict(embed_dims=16, depth=3, num_heads=2)


def step(config):
    """Return the loss of a forward and backward pass."""
    init_default_scope('mmpretrain')
    model = MODELS.build(config).train()
    batch = dict(inputs=torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8))
    loss = model.parse_losses(model(**model.data_preprocessor(batch, True), mode='loss'))[0]
    loss.backward()
    return loss.item()


@pytest.mark.parametrize(
    ('check', 'value', 'message'),
    [
        (check_whole, 0, 'must be a whole number, 1 or more, got 0'),
        (check_whole, 1.5, 'got 1.5'),
        (check_positive, math.nan, 'must be a positive number, got nan'),
        (check_rate, 1, 'must be a number, 0 or more and below 1, got 1'),
        (partial(check_share, 'the patches'), 0, 'must be a fraction of the patches, above 0 and up to 1'),
        (lambda x: pair(x), (32, 1.5), 'a size must be one integer or two'),
    ],
)
def test_values_out_of_range_are_refused(check, value, message):
    with pytest.raises(ValueError, match=message):
        check(x=value)


@pytest.mark.parametrize(
    ('method', 'part', 'setting', 'message'),
    [
        (tiny_model, 'neck', dict(in_channels=3), "the encoder's last map has 64 channels, but the decoder is for 3"),
        (tiny_model, 'neck', dict(cls_token=True), 'cls_token is set, but the encoder gives no CLS token'),
        (tiny_model, 'neck', dict(image_channels=1), 'predicted 16 cells of 64 numbers'),
        (tiny_mixedae, 'backbone', dict(num_sources=2), 'mixes 4 images, but the encoder is for 2'),
    ],
)
def test_parts_that_do_not_fit_are_refused(method, part, setting, message):
    config = method()
    config[part] |= setting
    with pytest.raises(ValueError, match=message):
        step(config)


@pytest.mark.parametrize(
    ('kind', 'settings', 'message'),
    [
        (MixMIMSwin, dict(arch='giant'), "arch 'giant' is unknown: take one of tiny, base, large, huge"),
        (MixMIMSwin, dict(arch=dict(dims=8)), 'or a dict with embed_dims, depths, num_heads'),
        (MixMIMSwin, dict(window_sizes=(7, 7)), 'depths has 4, num_heads 4, window_sizes 2'),
        (MixMIMSwin, dict(out_indices=(4,)), r'out_indices \(4,\) must be among the stages 0 to 3'),
        (MixMIMSwin, dict(wide_blocks=(1,)), r'wide_blocks \(1,\) must be among the blocks 0 to 0'),
        (MixMIMSwin, dict(arch=SWIN | dict(num_heads=(3,) * 4)), '8 channels cannot be split among 3 heads'),
        (MixMIMSwin, dict(drop_path_rate=1), 'drop_path_rate must be a number, 0 or more and below 1, got 1'),
        (MixingViT, dict(arch='giant'), "arch 'giant' is unknown: take one of small, base, large, huge"),
        (MixingViT, dict(attention='some'), "must be one of homologous, true, global, got 'some'"),
        (MixingViT, dict(out_type='max'), "must be one of featmap, avg_featmap, cls_token, got 'max'"),
        (MixingViT, dict(out_type='cls_token', final_norm=False), "out_type 'cls_token' needs the final norm"),
        (MixingViT, dict(out_type='cls_token', window_size=2), "set out_type to 'featmap' or 'avg_featmap'"),
        (MixingViT, dict(out_indices=(3,)), r'out_indices \(3,\) must be among the blocks 0 to 2'),
        (MixingViT, dict(homologous_layers=(-1,)), r'homologous_layers \(-1,\) must be among the blocks 0 to 2'),
        (MixingViT, dict(topk_ratio=0.0), 'topk_ratio must be a fraction of the patches, above 0 and up to 1, got 0.0'),
        (MixingViT, dict(arch=VIT | dict(num_heads=3)), '16 channels cannot be split among 3 heads'),
        (ViTPyramid, dict(in_channels=8, scales=(3,)), r'scales \(3,\) must be some of'),
    ],
)
def test_what_does_not_go_together_is_refused(kind, settings, message):
    arch = {MixMIMSwin: dict(arch=SWIN), MixingViT: dict(arch=VIT)}.get(kind, {})
    with pytest.raises(ValueError, match=message):
        kind(**arch | settings)


def test_settings_out_of_a_config_are_as_good():
    settings = dict(arch=SWIN | dict(depths=[1, 1, 1, 1]), img_size=32, patch_size=1, window_sizes=[4, [4, 4], 4, 4])
    config = ConfigDict(settings | dict(out_indices=[1, 3], wide_blocks=[]))
    assert MixMIMSwin(**config).arch == MixMIMSwin(**settings).arch
    assert MixingViT(**ConfigDict(arch=VIT, img_size=32, out_indices=[-1])).out_indices == (2,)


def test_blocks_that_are_not_run_are_not_measured():
    config = tiny_mixedae()
    config['backbone']['out_indices'] = (0,)
    assert math.isfinite(step(config))
