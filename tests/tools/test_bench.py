"""The benchmark's yardsticks; nothing is timed against a limit here."""

import json
import os
import subprocess
import sys

import pytest
import torch
from tool_loading import TOOLS

sys.path.append(str(TOOLS / 'benchmarks'))

from contenders import SUITES, Contender
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
    operations = training_operations(SUITES[suite][name])
    assert operations / 6e9 == pytest.approx(giga_multiply_adds, rel=0.01)


KEEPING = """
import json, torch
from contenders import Contender
from measuring import peak_memory

def loss(model, images):
    return sum((images.flatten(1) * model.weight * factor).square().sum() for factor in (1, 2, 3))

print(json.dumps(peak_memory(Contender(lambda: torch.nn.PReLU(), loss), torch.zeros(64, 3, 224, 224), half=False)))
"""


def test_memory_of_a_step_is_what_it_keeps():
    """Three products, each as large as the pictures, are kept, and the backward pass needs more."""
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
