"""No step on numbers that are none: what led to them is kept, and the run stops when it happens again and again."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.dist import all_gather_object, all_reduce, is_distributed, is_main_process
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from mmengine.runner.checkpoint import get_state_dict, weights_to_cpu
from torch import Tensor
from torch.distributed.fsdp import FullyShardedDataParallel

from mixmae_mm.nonfinite import (
    NOTHING,
    Finding,
    Iteration,
    find_nonfinite,
    non_finite_gradients,
    random_states,
    running_statistics,
)
from mixmae_mm.registry import HOOKS
from mixmae_mm.whole_files import write_whole

COMMAND = 'python tools/analysis/replay_nonfinite.py'
LEFT_TO_REPLAY = 'the model was shared out among processes, so that only running it again tells where it began'


class Fault(NamedTuple):
    """What one process knows of a step that was skipped."""

    rank: int
    words: str
    """Which numbers were not finite there."""
    bad_loss: bool
    """A loss was, and not only gradients, which processes share."""
    finding: str
    """Where it began."""


@HOOKS.register_module()
class NanGuardHook(Hook):
    """Skip steps with a loss or a gradient that is not finite, keep what led to it, and stop after some of them.

    The loss is seen before the backward pass and the gradients before they are clipped, since the hook stands in front
    of the optimizer wrapper's `backward` and `step`. A hook of the optimizer itself comes too late: by then clipping
    has made one bad gradient all, and it cannot keep an optimizer from counting the step. Weights, optimizer and
    running statistics stay as they were; the schedules go on.

    Processes agree on every step, so weights stay equal. With a loss scaler, infinite gradients are its own business
    (it skips the step and takes a smaller scale) until its scale is below 1; losses are watched as ever. With
    accumulated gradients the iterations of a step are skipped together. DeepSpeed, and several optimizers at once, are
    left alone, and a line in the log says so.

    For each skipped step `nonfinite/iter_N` in the work folder gets `rank_R.pth` from every process at fault (batches,
    assignments, random states), `weights.pth` and `config.py`; `tools/analysis/replay_nonfinite.py` runs it again.

    On a GPU the step waits for one number, as mmengine does for each loss that it logs, and as a loss scaler does.

    Args:
        max_events: This many skipped steps in a run stop it.

    Raises:
        ValueError: `max_events` is not positive.
    """

    priority = 'LOW'

    def __init__(self, max_events: int = 3) -> None:
        if not isinstance(max_events, int) or max_events < 1:
            raise ValueError(
                f'max_events is the number of skipped steps that stops a run, 1 or more, got {max_events!r}'
            )
        self.max_events = max_events
        self.events = 0

    def before_train(self, runner: Runner) -> None:
        """Step in front of the optimizer wrapper."""
        self.window: list[Iteration] = []
        self.losses: list[Tensor] = []
        self.fault: tuple[str, bool] | None = None
        self.wrapper = runner.optim_wrapper
        self.guarding = isinstance(self.wrapper, OptimWrapper)
        if not self.guarding:
            kind = type(self.wrapper).__name__
            runner.logger.warning(f'NanGuardHook leaves {kind} alone: steps on non-finite numbers are not skipped')
            return
        self.after_train(runner)
        self.backward, self.step = self.wrapper.backward, self.wrapper.step
        self.wrapper.backward, self.wrapper.step = self._backward, self._step
        self.model = getattr(runner.model, 'module', runner.model)
        self.norms = running_statistics(self.model)

    def after_train(self, runner: Runner) -> None:
        """Step aside."""
        for name in ('backward', 'step'):
            vars(runner.optim_wrapper).pop(name, None)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Note what the iteration starts from."""
        if not self.guarding:
            return
        if not self.window:
            self.kept = [statistic.clone() for statistic in self.norms]
        self.window.append(Iteration(runner.iter, data_batch, random_states()))

    def _backward(self, loss: Tensor, **kwargs: Any) -> None:
        """Note the loss and go on."""
        self.losses.append(loss.detach())
        self.backward(loss, **kwargs)

    def _step(self, **kwargs: Any) -> None:
        """Step if all is finite, in all processes."""
        numbers = torch.stack([*(loss.float() for loss in self.losses), *self._gradient_norms()])
        sound = numbers.isfinite().all().int()
        if is_distributed():
            all_reduce(sound, 'min')
        if sound.item():
            self.window.clear()
            self.step(**kwargs)
        else:
            self.fault = self._describe()
        self.losses.clear()

    def _gradient_norms(self) -> list[Tensor]:
        """Measure each gradient by its largest number; none while a loss scaler deals with them."""
        scaler = getattr(self.wrapper, 'loss_scaler', None)
        if scaler is not None and scaler.is_enabled() and scaler.get_scale() >= 1:
            return []
        parameters = [p for group in self.wrapper.optimizer.param_groups for p in group['params']]
        gradients = [p.grad for p in parameters if p.grad is not None and p.grad.numel()]
        return [norm.float() for norm in torch._foreach_norm(gradients, float('inf'))] if gradients else []

    def _describe(self) -> tuple[str, bool]:
        """Say which numbers are not finite here, and whether a loss is among them."""
        losses = [f'{loss.item():g}' for loss in self.losses if not loss.isfinite()]
        names = non_finite_gradients(self.model.named_parameters())
        words = [f'loss {" and ".join(losses)}'] if losses else []
        words += [f'non-finite gradients of {", ".join(names[:3])} ({len(names)} in all)'] if names else []
        return ', '.join(words), bool(losses)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """After a skipped step, keep what led to it, and stop if there were too many.

        Raises:
            FloatingPointError: there were.
        """
        if self.fault is None:
            return
        (fault, bad_loss), self.fault = self.fault, None
        for statistic, value in zip(self.norms, self.kept, strict=True):
            statistic.copy_(value)
        self.events += 1
        folder = Path(runner.work_dir, 'nonfinite', f'iter_{runner.iter}')
        finding = self._find(runner)
        worst = _worst(all_gather_object(Fault(runner.rank, fault, bad_loss, finding.text)))
        if is_main_process() or finding.text != NOTHING:
            content = dict(fault=fault, finding=finding.text, iterations=[each._asdict() for each in self.window])
            _save(content | dict(assignments=finding.assignments), folder / f'rank_{runner.rank}.pth')
        self._keep_model(runner, folder)
        self.window.clear()
        message = (
            f'iteration {runner.iter}: {worst.words}. This step was skipped ({self.events} of {self.max_events} before '
            f'the run stops). {worst.finding}. To run it again: {COMMAND} {folder}'
            + (f' --rank {worst.rank}' if worst.rank else '')
        )
        if self.events >= self.max_events:
            raise FloatingPointError(f'{message}. {_what_now(runner.work_dir)}')
        runner.logger.warning(message)

    def _find(self, runner: Runner) -> Finding:
        """Look for the first non-finite numbers; not where a process cannot run the model by itself."""
        if isinstance(runner.model, FullyShardedDataParallel):
            return Finding(LEFT_TO_REPLAY, [])
        return find_nonfinite(self.model, self.window, self.wrapper.optim_context)

    def _keep_model(self, runner: Runner, folder: Path) -> None:
        """Write weights, from all processes that have some, and config."""
        sharded = isinstance(runner.model, FullyShardedDataParallel)
        weights = runner.model.state_dict() if sharded else get_state_dict(self.model)
        if is_main_process():
            _save(dict(state_dict=weights_to_cpu(weights)), folder / 'weights.pth')
            with write_whole(folder / 'config.py') as file:
                file.write(runner.cfg.pretty_text.encode())


def _worst(faults: list[Fault]) -> Fault:
    """Choose the first process in which something was found, one with a bad loss before one with gradients alone."""
    return max(faults, key=lambda fault: (fault.finding != NOTHING, fault.bad_loss))


def _save(content: dict, path: Path) -> None:
    """Write a file of PyTorch's, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_whole(path) as file:
        torch.save(content, file)


def _what_now(work_dir: str) -> str:
    """Say from where to go on, and what to change."""
    pointer = Path(work_dir, 'last_checkpoint')
    last = pointer.read_text().strip() if pointer.is_file() else None
    begin = 'There is no checkpoint yet: start'
    if last:
        begin = f'The last checkpoint, {last}, is from before: go on from it'
    return (
        f'{begin} with something changed, as the same would happen again: a smaller learning rate, clip_grad, or '
        'without the pictures at fault'
    )
