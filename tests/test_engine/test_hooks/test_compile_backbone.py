"""Compiled encoders: whole graphs, the same losses and gradients, the same names."""

from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from stock_encoders import STOCK, pretrainer
from tiny_mixmae import tiny_mixedae, tiny_model
from torch import nn

from mixmae_mm.engine.hooks import CompileBackboneHook
from mixmae_mm.registry import HOOKS, MODELS


def build(method):
    torch.manual_seed(0)
    return MODELS.build(method()).train()


def losses_and_gradients(model, images):
    losses = model.loss(images)
    sum(value for name, value in losses.items() if name.startswith('loss')).backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    model.zero_grad()
    return losses, gradients


@pytest.fixture(autouse=True)
def forget_compiled():
    yield
    torch.compiler.reset()


@pytest.mark.slow
@pytest.mark.parametrize('method', [tiny_model, tiny_mixedae])
def test_compiled_without_a_break_it_does_the_same(method):
    model = build(method)
    names = list(model.state_dict())
    batches = [model.data_preprocessor.mix(torch.randn(8, 3, 32, 32)) for _ in range(2)]
    expected = [losses_and_gradients(model, images) for images in batches]
    graphs = []

    def count(graph, inputs):
        graphs.append(graph)
        return graph.forward

    hook = HOOKS.build(dict(type='mixmae_mm.CompileBackboneHook', backend=count))
    hook.before_train(SimpleNamespace(model=SimpleNamespace(module=model)))
    for images, (losses, gradients) in zip(batches, expected, strict=True):
        found, found_gradients = losses_and_gradients(model, images)
        torch.testing.assert_close(found, losses, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found_gradients, gradients, atol=1e-6, rtol=1e-4)
    assert len(graphs) == 1  # a second mixture is served by what the first was compiled to
    assert list(model.state_dict()) == names


@pytest.mark.slow
def test_compiled_with_checkpoints_homologous_attention_does_the_same():
    torch.manual_seed(0)
    config = tiny_mixedae()
    config['backbone']['with_cp'] = True
    model = MODELS.build(config).train()
    images = model.data_preprocessor.mix(torch.randn(8, 3, 32, 32))
    losses, gradients = losses_and_gradients(model, images)
    HOOKS.build(dict(type='mixmae_mm.CompileBackboneHook', backend='eager')).before_train(SimpleNamespace(model=model))
    found, found_gradients = losses_and_gradients(model, images)
    assert any(name.startswith('topk_precision') for name in losses)
    torch.testing.assert_close(found, losses, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found_gradients, gradients, atol=1e-6, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize('name', STOCK)
def test_compiled_an_encoder_of_a_library_does_the_same(name):
    pytest.importorskip(name.partition('.')[0])
    torch.manual_seed(0)
    model = pretrainer(name).train()
    batches = [model.data_preprocessor.mix(torch.randn(4, 3, 64, 64)) for _ in range(2)]

    def results():
        torch.manual_seed(1)  # of drop path
        return [losses_and_gradients(model, images) for images in batches]

    expected, graphs = results(), []

    def count(graph, inputs):
        graphs.append(graph)
        return graph.forward

    CompileBackboneHook(backend=count).before_train(SimpleNamespace(model=model))
    with torch._dynamo.config.patch(recompile_limit=1):  # each graph for one stage, which saves minutes
        torch.testing.assert_close(results(), expected, atol=1e-6, rtol=1e-4)
    assert graphs


def test_after_training_a_copy_has_weights_of_its_own():
    model = build(tiny_mixedae)
    runner, images = SimpleNamespace(model=model), torch.randn(1, 3, 32, 32)
    hook = CompileBackboneHook(backend='eager')
    hook.before_train(runner)
    model.backbone.encode(images)
    hook.after_train(runner)
    copy = deepcopy(model.backbone)
    with torch.no_grad():
        for parameter in copy.parameters():
            parameter.zero_()
    assert copy(images)[0].abs().max() == 0
    assert copy.encode(images).maps[0].abs().max() == 0


def test_padded_images_are_refused():
    backbone = nn.Linear(1, 1)
    backbone.pad_value = -1000.0
    with pytest.raises(ValueError, match='pad_value .here -1000.0. measures'):
        CompileBackboneHook().before_train(SimpleNamespace(model=SimpleNamespace(backbone=backbone)))
