"""Where numbers stop being finite: a batch is run once more, with the same draws, and every module is monitored."""

import contextlib
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase as RunningNorm

from mixmae_mm.engine.strategies.fsdp import plain_name

NOTHING = 'nothing non-finite when it was run once more'


class Iteration(NamedTuple):
    """What one iteration computed with: enough, beside weights and config, to run it again."""

    number: int
    batch: Any
    """As the data loader gave it."""
    states: dict
    """Random states from before the forward pass."""


class Finding(NamedTuple):
    """The result of running iterations once more."""

    text: str
    """Where the first non-finite numbers were, in words."""
    assignments: list[Tensor | None]
    """What was drawn for each iteration that was run, where sources were mixed."""


def random_states() -> dict:
    """Return the states that Python, numpy, torch and the current GPU draw from; nothing waits for the GPU."""
    states = dict(python=random.getstate(), numpy=np.random.get_state(), torch=torch.get_rng_state())
    return states | (dict(cuda=torch.cuda.get_rng_state()) if torch.cuda.is_available() else {})


def set_random_states(states: Mapping) -> None:
    """Draw from here on as from where `random_states` was called; a GPU's state is left out without a GPU."""
    random.setstate(states['python'])
    np.random.set_state(states['numpy'])
    torch.set_rng_state(states['torch'])
    if 'cuda' in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states['cuda'])


def tensors_in(nest: object) -> Iterator[Tensor]:
    """Yield the tensors of floats in a nest of tuples, lists and dicts."""
    if isinstance(nest, Tensor):
        if nest.is_floating_point() or nest.is_complex():
            yield nest
    elif isinstance(nest, list | tuple | Mapping):
        for part in nest.values() if isinstance(nest, Mapping) else nest:
            yield from tensors_in(part)


def is_finite(nest: object) -> bool:
    """Return whether all tensors in a nest hold finite numbers alone."""
    return all(bool(tensor.isfinite().all()) for tensor in tensors_in(nest))


def non_finite_gradients(named: Iterable[tuple[str, nn.Parameter]]) -> list[str]:
    """Name the parameters whose gradient is not finite."""
    return [plain_name(name) for name, p in named if p.grad is not None and not is_finite(p.grad)]


def running_statistics(model: nn.Module) -> list[Tensor]:
    """List what batch norms count up in the forward pass, where a bad batch would stay for ever."""
    norms = (module for module in model.modules() if isinstance(module, RunningNorm))
    return [buffer for norm in norms for buffer in norm.buffers(recurse=False)]


class Monitor:
    """Hooks on all modules of a model that record where the first non-finite numbers are.

    In the forward pass these are the first output, in the order in which modules end; in the backward pass, the first
    gradient of an output or of a parameter, in the order in which they are computed.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.forward: str | None = None
        self.backward: str | None = None
        self.running = True

    @contextmanager
    def monitoring(self) -> Iterator['Monitor']:
        """Register the hooks while the context lasts."""
        with contextlib.ExitStack() as stack:
            for name, module in self.model.named_modules():
                name = f'{plain_name(name) or "the model"} ({type(module).__name__})'
                handle = module.register_forward_hook(self._note_output(name))
                stack.callback(handle.remove)
            for name, parameter in self.model.named_parameters():
                if parameter.requires_grad:
                    handle = parameter.register_hook(self._note_gradient(f'of the parameter {plain_name(name)}'))
                    stack.callback(handle.remove)
            yield self

    def _note_output(self, name: str) -> Callable:
        """Make the hook that looks at what a module gives; what checkpointing computes again is left out."""

        def note(module: nn.Module, inputs: tuple, output: object) -> None:
            if not self.running or self.forward:
                return
            if not is_finite(output):
                self.forward = f'first module with a non-finite output: {name}{_reasons(module, inputs)}'
            for tensor in tensors_in(output):
                if tensor.requires_grad:
                    tensor.register_hook(self._note_gradient(f'at the output of {name}'))

        return note

    def _note_gradient(self, where: str) -> Callable:
        """Make the hook that looks at a gradient."""

        def note(gradient: Tensor) -> None:
            if self.backward is None and not is_finite(gradient):
                self.backward = f'all outputs are finite; first non-finite gradient on the way back: {where}'

        return note


def _reasons(module: nn.Module, inputs: tuple) -> str:
    """Describe whether the input of a module is finite, and which of its own numbers are not."""
    own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    bad = [name for name, tensor in own if not is_finite(tensor)]
    given = 'its input is finite' if is_finite(inputs) else 'so is its input already'
    return f'; {given}' + (f'; so are its own {", ".join(bad)}' if bad else '')


def find_nonfinite(
    model: BaseModel,
    iterations: Iterable[Iteration],
    precision: Callable[[nn.Module], AbstractContextManager] = lambda model: contextlib.nullcontext(),
) -> Finding:
    """Run iterations once more, forward and backward; weights, running statistics and random states stay as they are.

    Args:
        model: Without wrappers, in training mode, as the iterations found it and with no gradients that are needed.
        iterations: Those whose gradients were added up.
        precision: Gives the context of the forward pass, as an optimizer wrapper's `optim_context` does.
    """
    found, assignments, before = [], [], random_states()
    norms = running_statistics(model)
    kept = [statistic.clone() for statistic in norms]
    with Monitor(model).monitoring() as monitor, torch.compiler.set_stance('force_eager'):  # hooks break graphs
        for iteration in iterations:  # all of them, as every process does: synchronized norms would wait for one
            set_random_states(iteration.states)
            found.append(_run(model, iteration.batch, precision, monitor, assignments))
    names = non_finite_gradients(model.named_parameters())
    set_random_states(before)
    for statistic, value in zip(norms, kept, strict=True):
        statistic.copy_(value)
    model.zero_grad(set_to_none=True)
    last = f'only the sum of the gradients is not finite: {names[:3]}' if names else NOTHING
    return Finding(next(filter(None, found), last), assignments)


def _run(model: BaseModel, batch: Any, precision: Callable, monitor: Monitor, assignments: list) -> str | None:
    """Run one iteration; what has been found so far, or None."""
    monitor.running = True
    try:
        with precision(model):
            data = model.data_preprocessor(batch, True)
            inputs = data.get('inputs') if isinstance(data, Mapping) else None
            assignments.append(getattr(inputs, 'assignment', None))
            losses = model._run_forward(data, mode='loss')
        monitor.running = False
        model.parse_losses(losses)[0].backward()
    except Exception as error:  # models may raise nearly anything once there is a NaN
        return monitor.forward or monitor.backward or f'running it once more ended with {type(error).__name__}: {error}'
    return monitor.forward or monitor.backward
