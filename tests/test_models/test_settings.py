"""Settings of every part of a model, drawn at random: each either works or is told of by name."""

import copy
import math

import pytest
import torch
from mmengine.registry import init_default_scope
from odd_settings import attempt, draw_odd, settings_of, told_by_us
from tiny_mixmae import tiny_mixedae, tiny_model

from mixmae_mm.models.settings import check_flag, check_positive, check_range, check_whole
from mixmae_mm.registry import MODELS

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


@pytest.mark.parametrize(
    ('method', 'part', 'setting', 'said'),
    [
        (tiny_model, 'neck', dict(in_channels=3), "^the encoder's last map has 64 channels, and the decoder is for 3"),
        (tiny_model, 'neck', dict(cls_token=True), '^cls_token is set, but the encoder gives no CLS token: '),
        (tiny_model, 'neck', dict(image_channels=1), '^16 cells of 64 numbers are predicted, for pictures of '),
        (tiny_model, 'neck', dict(grid_size=(-1, -1)), r'^a size is a whole number, .* got \(-1, -1\)$'),
        (tiny_model, 'backbone', dict(img_size=(32, 1.5)), r'^a size is a whole number, .* got \(32, 1.5\)$'),
        (tiny_model, 'backbone', dict(in_channels=1), '^pictures have 3 channels, and the encoder is for 1: '),
        (tiny_mixedae, 'backbone', dict(num_sources=0), '^num_sources must be a whole number, 1 or more, got 0$'),
    ],
)
def test_each_is_told_of_in_words(method, part, setting, said):
    init_default_scope('mmpretrain')
    config = method()
    config[part] |= setting
    with pytest.raises(ValueError, match=said):
        step(config)


def test_blocks_that_are_not_run_are_not_measured():
    init_default_scope('mmpretrain')
    config = tiny_mixedae()
    config['backbone']['out_indices'] = (0,)
    assert math.isfinite(step(config))
