"""Our own autograd functions: right gradients, only those that are asked for, and also by torch.func."""

import ast
from collections import Counter
from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS
from tiny_mixmae import tiny_mixedae, tiny_model
from torch import func
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

import mixmae_mm.models
from mixmae_mm.models.utils.homologous_attention import _AttendOwn
from mixmae_mm.models.utils.layers import GeluLinear, Mlp
from mixmae_mm.models.utils.varlen_attention import _AttendSegments
from mixmae_mm.models.utils.windows import Rearrange

RUNS = (3, 1, 4)
PRODUCTS = {'mm', 'addmm', 'bmm', 'baddbmm', 'matmul'}


def rearrange(x):
    order = torch.tensor([2, 0, 3, 1])
    return Rearrange.apply(x, order, order.argsort())


def attend_segments(qkv, bias):
    return _AttendSegments.apply(qkv, bias, RUNS)[0]


def hide_some(logits):
    """Hide from each query a key that is not itself: the last but for the last two."""
    logits[..., :-2, -1] = float('-inf')


def attend_own(query, key, value):
    return _AttendOwn.apply(query, key, value, hide_some)[0]


def inputs(*shapes):
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


FUNCTIONS = {
    'GeluLinear': (GeluLinear.apply, [(2, 3, 5), (4, 5), (4,)]),
    'Rearrange': (rearrange, [(2, 4, 3)]),
    '_AttendSegments': (attend_segments, [(2, 8, 3, 2, 3), (2, sum(length**2 for length in RUNS))]),
    '_AttendOwn': (attend_own, [(2, 2, 5, 3)] * 3),
}


def test_all_that_there_are_are_tested():
    found = set()
    for path in Path(mixmae_mm.models.__file__).parents[1].rglob('*.py'):
        classes = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef))
        found |= {node.name for node in classes if any('Function' in ast.unparse(base) for base in node.bases)}
    assert found == FUNCTIONS.keys()


@pytest.mark.parametrize('name', FUNCTIONS)
def test_gradients_against_differences(name):
    function, shapes = FUNCTIONS[name]
    assert torch.autograd.gradcheck(function, inputs(*shapes))


@pytest.mark.parametrize('name', ['GeluLinear', 'Rearrange'])
def test_second_derivatives(name):
    function, shapes = FUNCTIONS[name]
    assert torch.autograd.gradgradcheck(function, inputs(*shapes))


class Counting(TorchDispatchMode):
    """Count the operators that run."""

    def __init__(self):
        super().__init__()
        self.calls = Counter()

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        self.calls[operator._schema.name.partition('::')[2]] += 1
        return operator(*args, **(kwargs or {}))


def count_backward(function, given, wanted):
    """Count what a backward pass runs where only some inputs want a gradient, and compare the gradients with all."""
    every = torch.autograd.grad(function(*given).square().sum(), given)
    kept = [x if want else x.detach() for x, want in zip(given, wanted, strict=True)]
    loss = function(*kept).square().sum()
    with Counting() as mode:
        some = torch.autograd.grad(loss, [x for x, want in zip(kept, wanted, strict=True) if want])
    for one, expected in zip(some, [x for x, want in zip(every, wanted, strict=True) if want], strict=True):
        torch.testing.assert_close(one, expected)
    return Counter(products=sum(mode.calls[name] for name in PRODUCTS), gelu=mode.calls['gelu'], sum=mode.calls['sum'])


@pytest.mark.parametrize(
    ('name', 'wanted', 'products'),
    [
        ('GeluLinear', (True, True, True), 2),
        ('GeluLinear', (True, False, False), 1),
        ('GeluLinear', (True, False, True), 1),
        ('GeluLinear', (False, True, True), 1),
        ('GeluLinear', (False, False, True), 0),
        ('_AttendSegments', (True, True), 4 * len(RUNS)),
        ('_AttendSegments', (True, False), 4 * len(RUNS)),
        ('_AttendSegments', (False, True), len(RUNS)),
        ('_AttendOwn', (True, True, True), 4),
        ('_AttendOwn', (True, False, False), 2),
        ('_AttendOwn', (False, True, False), 2),
        ('_AttendOwn', (False, False, True), 1),
    ],
)
def test_what_is_frozen_is_not_computed(name, wanted, products):
    function, shapes = FUNCTIONS[name]
    counted = count_backward(function, inputs(*shapes), wanted)
    assert counted['products'] == products
    if name == 'GeluLinear':
        assert counted['gelu'] == wanted[1]
        assert counted['sum'] == wanted[2]
    if name == '_AttendSegments':
        assert counted['sum'] == wanted[1] * len(RUNS)


def test_a_frozen_layer_of_an_mlp_costs_no_product():
    """Forward two products; backward one for each input and each weight that learns."""
    mlp, x = Mlp(6, 10).train(), torch.randn(2, 3, 6, requires_grad=True)
    for frozen, products in ((None, 4), (mlp.fc2, 3), (mlp, 2)):
        if frozen is not None:
            frozen.requires_grad_(False)
        loss = mlp(x).sum()
        with Counting() as mode:
            loss.backward()
        assert sum(mode.calls[name] for name in PRODUCTS) == products


# -- torch.func


def by_func(model, loss_of):
    """Compute the gradients of all that learns by torch.func, without touching the model."""
    learning = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    return func.grad(lambda parameters: loss_of(lambda *args: func.functional_call(model, parameters, args)))(learning)


def by_autograd(model, loss_of):
    learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
    grads = torch.autograd.grad(loss_of(model), list(learning.values()), allow_unused=True)
    return {name: torch.zeros_like(learning[name]) if g is None else g for name, g in zip(learning, grads, strict=True)}


@pytest.mark.parametrize('config', [tiny_model(), tiny_mixedae(), tiny_mixedae(1, mask_ratio=0.75)])
def test_whole_models_give_torch_func_the_same_gradients(config):
    model = MODELS.build(config).train()
    images = model.data_preprocessor(dict(inputs=[torch.randn(3, 32, 32) for _ in range(8)]), True)['inputs']

    def loss_of(call):
        losses = call(images, None, 'loss')
        return sum(x for name, x in losses.items() if 'loss' in name)

    found, expected = by_func(model, loss_of), by_autograd(model, loss_of)
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], msg=name)


@pytest.mark.parametrize('name', ['GeluLinear', 'Rearrange'])
def test_gradients_of_each_sample_by_vmap(name):
    function, shapes = FUNCTIONS[name]
    first, *others = [x.detach() for x in inputs(*shapes)]

    def loss(x, *others):
        return function(x[None], *others).sin().sum()

    each = func.vmap(func.grad(loss), in_dims=(0, *[None] * len(others)))(first, *others)
    for one, x in zip(each, first, strict=True):
        torch.testing.assert_close(one, func.grad(loss)(x, *others))


def test_compiled_functions_give_the_same():
    given = inputs(*FUNCTIONS['GeluLinear'][1])
    compiled = torch.compile(GeluLinear.apply, backend='aot_eager', fullgraph=True)
    expected = torch.autograd.grad(F.linear(F.gelu(given[0]), *given[1:]).sin().sum(), given)
    for one, other in zip(torch.autograd.grad(compiled(*given).sin().sum(), given), expected, strict=True):
        torch.testing.assert_close(one, other)
