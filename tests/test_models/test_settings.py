"""Settings of every public class, drawn at random: each either works or is told of by name."""

import copy
import inspect
import math
import traceback

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmengine.registry import init_default_scope
from tiny_mixmae import tiny_mixedae, tiny_model

import mixmae_mm
from mixmae_mm.models.settings import check_flag, check_positive, check_range, check_whole
from mixmae_mm.registry import MODELS

ODD = st.sampled_from(
    [None, -1, 0, 1, 3, 1.5, 0.5, math.nan, math.inf, 'x', '', (), (0,), (1, 2, 3), (-1, -1), [2, 2, 2, 2], {}, True]
)
NOT_DRAWN = ('init_cfg', 'non_blocking', 'self')
PARTS = [
    (method, part)
    for method in (tiny_model, tiny_mixedae)
    for part in ('data_preprocessor', 'backbone', 'neck', 'head', 'contrast')
    if method().get(part)
]


def settings_of(kind):
    """Name what a class and those it stands on can be set to."""
    names = {}
    for each in kind.__mro__:
        if each.__module__.startswith('mixmae_mm') and '__init__' in vars(each):
            names |= inspect.signature(each.__init__).parameters
    return [name for name, kind in names.items() if name not in NOT_DRAWN and kind.kind is not kind.VAR_KEYWORD]


def step(config):
    """Build a model and run it once, forward and backward; give its loss."""
    model = MODELS.build(config).train()
    batch = dict(inputs=torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8))
    loss = model.parse_losses(model(**model.data_preprocessor(batch, True), mode='loss'))[0]
    loss.backward()
    return loss.item()


def attempt(config):
    """Give the loss of a step, and the error of one that users expect."""
    try:
        return step(config), None
    except (ValueError, TypeError, KeyError) as error:
        return math.nan, error


def told_by_us(error):
    """Tell whether an error was raised in our own lines, in words."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return bool(str(error)) and last.filename.startswith(mixmae_mm.__path__[0])


@pytest.mark.parametrize(('method', 'part'), PARTS, ids=lambda value: getattr(value, '__name__', value))
def test_odd_settings_work_or_are_told_of(method, part):
    init_default_scope('mmpretrain')
    whole = method()
    names = settings_of(MODELS.get(whole[part]['type']))

    @settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(names), ODD)
    def draw(name, value):
        config = copy.deepcopy(whole)
        config[part][name] = value
        loss, error = attempt(config)
        assert math.isfinite(loss) if error is None else told_by_us(error), f'{name}={value!r}: {error!r}'

    draw()


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
