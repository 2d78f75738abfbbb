"""Settings of every part of a model, drawn at random: each either works or is told of by name."""

import copy
import math
import re

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from odd_settings import attempt, draw_odd, settings_of, told_by_us
from tiny_mixmae import tiny_mixedae, tiny_model

from mixmae_mm.models import MixingViT, MixMIMSwin, ViTPyramid
from mixmae_mm.registry import MODELS
from mixmae_mm.utils.validation import (
    check_each,
    check_flag,
    check_list,
    check_number,
    check_positive,
    check_range,
    check_rate,
    check_whole,
)

LIST = 'must be a list of 1 or more entries, got'
PARTS = [
    (method, part)
    for method in (tiny_model, tiny_mixedae)
    for part in ('data_preprocessor', 'backbone', 'neck', 'head', 'contrast')
    if method().get(part)
]


def step(config):
    """Build a model and run it once, forward and backward; give its loss."""
    model = MODELS.build(config).train()
    batch = dict(inputs=torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8))
    loss = model.parse_losses(model(**model.data_preprocessor(batch, True), mode='loss'))[0]
    loss.backward()
    return loss.item()


@pytest.mark.parametrize(('method', 'part'), PARTS, ids=lambda value: getattr(value, '__name__', value))
def test_odd_settings_work_or_are_told_of(method, part):
    init_default_scope('mmpretrain')
    whole = method()
    names = settings_of(MODELS.get(whole[part]['type']))

    def check(name, value):
        config = copy.deepcopy(whole)
        config[part][name] = value
        loss, error = attempt(step, config)
        assert math.isfinite(loss) if error is None else told_by_us(error), f'{name}={value!r}: {error!r}'

    draw_odd(names, check)


def test_messages_name_setting_and_value():
    with pytest.raises(ValueError, match='^depth must be a whole number, 1 or more, got True$'):
        check_whole(depth=True)
    with pytest.raises(ValueError, match='^stages must be a whole number, -1 or more, got -2$'):
        check_whole(-1, depth=3, stages=-2)
    with pytest.raises(ValueError, match='^eps must be a positive number, got nan$'):
        check_positive(eps=math.nan)
    with pytest.raises(ValueError, match="^deep must be True or False, got 'no'$"):
        check_flag(deep='no')
    for wrong in ((0.5,), (0.5, 0.2), (0, 1), 'ab', 3):
        with pytest.raises(ValueError, match='^ratios must be two positive numbers, the least and the greatest, got '):
            check_range(ratios=wrong)
    check_range(ratios=[0.5, 0.5])
    for wrong in (math.inf, True, '1'):
        with pytest.raises(ValueError, match=f'^ratio must be a finite number, got {wrong!r}$'):
            check_number(ratio=wrong)
    for wrong in (1, -0.1, None):
        with pytest.raises(ValueError, match=f'^drop must be a number, 0 or more and below 1, got {wrong}$'):
            check_rate(drop=wrong)


def test_lists_come_in_many_forms():
    for form in ([1, 2], (1, 2), range(1, 3), {1, 2}, np.array([1, 2])):
        check_each(check_whole, blocks=form)
    check_list(0, blocks=[])
    for wrong in (3, None, 'ab', {'a': 1}, ()):
        with pytest.raises(ValueError, match=re.escape(f'blocks {LIST} {wrong!r}') + '$'):
            check_list(blocks=wrong)
    with pytest.raises(ValueError, match=r'^blocks\[1\] must be a whole number, 1 or more, got None$'):
        check_each(check_whole, blocks=[1, None])


@pytest.mark.parametrize(
    ('method', 'part', 'setting', 'said'),
    [
        (tiny_model, 'neck', dict(in_channels=3), "^the encoder's last map has 64 channels, and the decoder is for 3"),
        (tiny_model, 'neck', dict(cls_token=True), '^cls_token is set, but the encoder gives no CLS token: '),
        (tiny_model, 'neck', dict(image_channels=1), '^16 cells of 64 numbers are predicted, for images of '),
        (tiny_model, 'neck', dict(grid_size=(-1, -1)), r'^a size is a whole number, .* got \(-1, -1\)$'),
        (tiny_model, 'backbone', dict(img_size=(32, 1.5)), r'^a size is a whole number, .* got \(32, 1.5\)$'),
        (tiny_model, 'backbone', dict(in_channels=1), '^images have 3 channels, and the encoder is for 1: '),
        (tiny_mixedae, 'backbone', dict(num_sources=0), '^num_sources must be a whole number, 1 or more, got 0$'),
        (tiny_model, 'data_preprocessor', dict(mean=127.5), f'^mean {LIST} 127.5$'),
        (tiny_model, 'data_preprocessor', dict(std=(1, 0, 1)), r'^std\[1\] must be a positive number, got 0$'),
        (tiny_model, 'data_preprocessor', dict(shares=0.5), f'^shares {LIST} 0.5$'),
        (tiny_model, 'data_preprocessor', dict(mask_ratio='x'), "^mask_ratio must be a finite number, got 'x'$"),
    ],
)
def test_each_is_told_of_in_words(method, part, setting, said):
    init_default_scope('mmpretrain')
    config = method()
    config[part] |= setting
    with pytest.raises(ValueError, match=said):
        step(config)


SWIN = dict(embed_dims=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2))
VIT = dict(embed_dims=8, depth=2, num_heads=2)
UNKNOWN = 'is unknown: take one of {}, base, large, huge, or a dict with embed_dims, {} and num_heads'


@pytest.mark.parametrize(
    ('kind', 'settings', 'said'),
    [
        (MixMIMSwin, dict(arch=3), 'arch 3 ' + UNKNOWN.format('tiny', 'depths')),
        (MixMIMSwin, dict(arch=SWIN | dict(depths=3)), f'depths {LIST} 3'),
        (MixMIMSwin, dict(arch=SWIN | dict(depths=(1, -1))), 'depths[1] must be a whole number, 0 or more, got -1'),
        (MixMIMSwin, dict(arch=SWIN | dict(num_heads=(0,))), 'num_heads[0] must be a whole number, 1 or more, got 0'),
        (MixMIMSwin, dict(window_sizes=7), f'window_sizes {LIST} 7'),
        (MixMIMSwin, dict(wide_blocks=5), 'wide_blocks must be a list of 0 or more entries, got 5'),
        (MixMIMSwin, dict(out_indices=3), f'out_indices {LIST} 3'),
        (MixMIMSwin, dict(drop_path_rate='x'), "drop_path_rate must be a number, 0 or more and below 1, got 'x'"),
        (MixMIMSwin, dict(pad_value='x'), "pad_value must be a finite number, got 'x'"),
        (MixingViT, dict(arch=None), 'arch None ' + UNKNOWN.format('small', 'depth')),
        (MixingViT, dict(arch=VIT | dict(depth=(2,))), 'depth must be a whole number, 1 or more, got (2,)'),
        (MixingViT, dict(out_indices=3), f'out_indices {LIST} 3'),
        (MixingViT, dict(out_indices=()), f'out_indices {LIST} ()'),
        (MixingViT, dict(out_indices=(-3,)), 'out_indices[0] must be a whole number, -2 or more, got -3'),
        (MixingViT, dict(global_blocks=1), 'global_blocks must be a list of 0 or more entries, got 1'),
        (MixingViT, dict(homologous_layers=1), 'homologous_layers must be a list of 0 or more entries, got 1'),
        (MixingViT, dict(topk_ratio='x'), "topk_ratio is a share of the patches, above 0 and up to 1, got 'x'"),
        (ViTPyramid, dict(in_channels=8, scales=2), f'scales {LIST} 2'),
    ],
)
def test_each_is_told_of_before_anything_is_built(kind, settings, said):
    arch = {MixMIMSwin: dict(arch=SWIN), MixingViT: dict(arch=VIT)}.get(kind, {})
    with pytest.raises(ValueError, match=f'^{re.escape(said)}$'):
        kind(**arch | settings)


def test_settings_out_of_a_config_are_as_good():
    settings = dict(arch=SWIN | dict(depths=[1, 1, 1, 1]), img_size=32, patch_size=1, window_sizes=[4, [4, 4], 4, 4])
    config = ConfigDict(settings | dict(out_indices=[1, 3], wide_blocks=[]))
    assert MixMIMSwin(**config).arch == MixMIMSwin(**settings).arch
    assert MixingViT(**ConfigDict(arch=VIT, img_size=32, out_indices=[-1])).out_indices == (1,)


def test_blocks_that_are_not_run_are_not_measured():
    init_default_scope('mmpretrain')
    config = tiny_mixedae()
    config['backbone']['out_indices'] = (0,)
    assert math.isfinite(step(config))
