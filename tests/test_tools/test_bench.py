"""The benchmark's yardsticks; nothing is timed against a limit here."""

import sys

import pytest
import torch
from counting import set_zero
from mmengine.config import Config
from on_meta import on_meta
from tool_loading import TOOLS, load_tool

sys.path.append(str(TOOLS / 'benchmarks'))

from contenders import SUITES
from growth import fit
from measuring import in_turns, operations, ratio


def test_contenders_take_turns_and_the_first_round_is_dropped():
    order = []

    def call(name, times):
        left = iter(times)
        return lambda: order.append(name) or next(left)

    times = in_turns(dict(ours=call('ours', [9, 1, 2, 6]), peer=call('peer', [9, 2, 4, 3])), repeats=3)
    assert order == ['ours', 'peer'] * 4
    assert times == dict(ours=[1, 2, 6], peer=[2, 4, 3])
    assert ratio(times['ours'], times['peer']) == 0.5


@pytest.mark.parametrize(('suite', 'name', 'giga_multiply_adds'), [('mixmae', 'MixMAE', 19.04), ('mae', 'MAE', 9.78)])
def test_operations_of_a_step(suite, name, giga_multiply_adds):
    """Twice the multiply-adds, and three times that with the backward pass."""
    contender = SUITES[suite][name]
    with on_meta():
        model = contender.build()
    with torch.no_grad():
        counted = operations(contender, set_zero(model).train(), torch.zeros(2 if name == 'MixMAE' else 1, 3, 224, 224))
    assert counted / 6e9 == pytest.approx(giga_multiply_adds, rel=0.01)


def test_growth_is_fitted_on_mixtures_alone():
    rows = [
        dict(value=2.0**n, sources=4 - 3 * (n == 3), of_base=dict(seconds=4.0**n, bytes=1.0, multiply_adds=2.0**n))
        for n in range(4)
    ]
    rows[3]['of_base']['seconds'] = 1e9
    assert fit(rows) == pytest.approx(dict(seconds=2.0, bytes=0.0, multiply_adds=1.0))


def test_one_step_of_a_config():
    config = TOOLS.parent / 'configs/mixmae/mixmae_mixmim-swin-micro_1xb64-coslr-40e_materials-64px.py'
    tool = load_tool('benchmarks/one_step.py')
    model, optimizer = tool.build(Config.fromfile(config), 'cpu')
    before = {name: value.clone() for name, value in model.named_parameters()}
    images = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    seconds = tool.one_step(model, optimizer, images, half=True)
    assert seconds.keys() == {'forward', 'backward', 'optimizer'}
    assert all(not torch.equal(before[name], value) for name, value in model.named_parameters() if value.requires_grad)
