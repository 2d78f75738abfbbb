"""The benchmark's yardsticks; nothing is timed against a limit here."""

import dataclasses
import json
import os
import subprocess
import sys

import pytest
import torch
from counting import set_zero
from mmengine.config import Config
from on_meta import on_meta
from tool_loading import TOOLS, load_tool

sys.path.append(str(TOOLS / 'benchmarks'))

from contenders import SUITES, Contender
from growth_measuring import fit, relate
from growth_settings import BASES, list_settings, name_base
from measuring import ALLOCATOR, in_turns, matrix_peak, ratio, step, training_operations


def test_contenders_take_turns_and_the_first_round_is_dropped():
    order = []

    def call(name, times):
        left = iter(times)
        return lambda: order.append(name) or next(left)

    times = in_turns(dict(ours=call('ours', [9, 1, 2, 6]), peer=call('peer', [9, 2, 4, 3])), repeats=3)
    assert order == ['ours', 'peer'] * 4
    assert times == dict(ours=[1, 2, 6], peer=[2, 4, 3])
    assert ratio(times['ours'], times['peer']) == 0.5


@pytest.mark.parametrize(
    ('suite', 'name', 'giga_multiply_adds'),
    [
        ('mixmae', 'MixMAE', 19.04),
        ('mae', 'MAE', 9.78),
        ('vit', 'ViT-B', 17.56),
        ('vit', 'ViT-B (PyTorch blocks)', 17.56),
    ],
)
def test_operations_of_a_step(suite, name, giga_multiply_adds):
    """Twice the multiply-adds, and three times that with the backward pass; of ViT-B worked out by hand."""
    contender = dataclasses.replace(SUITES[suite][name], few=2 if name == 'MixMAE' else 1)
    if suite != 'vit':  # mmpretrain's encoder looks at numbers while it is built
        contender = dataclasses.replace(contender, build=lambda: _without_drawing(SUITES[suite][name].build))
    operations = training_operations(contender)
    assert operations / 6e9 == pytest.approx(giga_multiply_adds, rel=0.01)


def _without_drawing(build):
    with on_meta():
        return set_zero(build())


KEEPING = """
import json, torch
from types import SimpleNamespace
from measuring import peak_memory

def loss(model, images):
    return sum((images.flatten(1) * model.weight * factor).square().sum() for factor in (1, 2, 3))

contender = SimpleNamespace(build=torch.nn.PReLU, loss=loss, few=4)
print(json.dumps(peak_memory(contender, torch.zeros(64, 3, 224, 224), half=False)))
"""


def test_memory_of_a_step_is_what_it_keeps():
    """Three products, each as large as the images, are kept, and the backward pass needs more."""
    environment = {**os.environ, **ALLOCATOR, 'PYTHONPATH': str(TOOLS / 'benchmarks')}
    command = [sys.executable, '-c', KEEPING]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=True)
    memory, kept = json.loads(done.stdout), 64 * 3 * 224 * 224 * 4
    assert 3 * kept <= memory['step'] < 12 * kept
    assert memory['process'] > memory['step']


def test_a_step_leaves_no_gradients_behind():
    model = torch.nn.Linear(4, 1)
    assert step(Contender(lambda: model, lambda m, x: m(x).sum()), model, torch.ones(2, 4), half=True) > 0
    assert model.weight.grad is None


def test_the_machines_best_is_a_positive_number():
    assert matrix_peak('cpu', half=False, repeats=1) > 1e9


def test_growth_is_fitted_on_the_curve_alone():
    rows = [
        dict(value=2.0**power, on_curve=power < 3, of_base=dict(seconds=2.0 ** (2 * power), bytes=1.0))
        for power in range(3)
    ]
    rows.append(dict(value=8.0, on_curve=False, of_base=dict(seconds=1e9, bytes=1e9)))
    assert fit(rows) == pytest.approx(dict(seconds=2.0, bytes=0.0))


def test_growth_is_told_by_the_medians_of_the_rounds():
    rows = [
        dict(all_seconds=[1.0, 1.0, 9.0], bytes=10, multiply_adds=4.0),
        dict(all_seconds=[2.0, 3.0, 18.0], bytes=30, multiply_adds=8.0),
    ]
    last = relate(rows, rows[0])[1]
    assert last['of_base'] == dict(seconds=2.0, bytes=3.0, multiply_adds=2.0)
    assert last['time_per_multiply_add'] == 1.0


@pytest.mark.parametrize('method', BASES)
@pytest.mark.parametrize('factor', ['batch', 'resolution', 'sources'])
def test_settings_of_growth_vary_one_thing(method, factor):
    settings = list_settings(method, factor, small=False)
    base = settings[name_base(method, factor)]
    costly = {'batch', factor}  # an image's cost is asked for: how many are taken at once may go with it
    for setting in settings.values():
        changed = {name for name, value in vars(setting).items() if value != getattr(base, name)}
        assert changed - {'on_curve'} <= costly
    assert len({getattr(setting, factor) for setting in settings.values()}) == len(settings) > 2


def test_one_step_of_a_config_is_told():
    config = TOOLS.parent / 'configs/mixmae/mixmae_mixmim-swin-micro_1xb64-coslr-40e_shapes-64px.py'
    tool = load_tool('benchmarks/one_step.py')
    model, optimizer = tool.build(Config.fromfile(config), 'cpu')
    before = {name: value.clone() for name, value in model.named_parameters()}
    images = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    seconds = tool.one_step(model, optimizer, images, half=True)
    assert seconds.keys() == {'forward', 'backward', 'optimizer'}
    assert all(not torch.equal(before[name], value) for name, value in model.named_parameters() if value.requires_grad)
