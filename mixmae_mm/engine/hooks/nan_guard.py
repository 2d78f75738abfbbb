"""No step on NaN or infinity: what led to it is stored, and the run stops when it happens again and again."""

from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_gather_object, all_reduce, is_distributed
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor
from torch.distributed.fsdp import FullyShardedDataParallel

from mixmae_mm.engine.hooks.nan_event import Fault, keep_event, what_now, worst
from mixmae_mm.engine.hooks.nonfinite import (
    Finding,
    Iteration,
    find_nonfinite,
    non_finite_gradients,
    random_states,
    running_statistics,
)
from mixmae_mm.registry import HOOKS

LEFT_TO_REPLAY = 'the model was sharded among processes, so that only running it again shows where it began'


@HOOKS.register_module()
class NanGuardHook(Hook):
    """Skip steps with a loss or a gradient that is not finite, keep what led to it, and stop after some of them.

    Loss and gradients of each iteration are seen before gradients are clipped, since the hook replaces the
    optimizer wrapper's `backward` and `step`. A hook of the optimizer itself comes too late: by then clipping
    has made one bad gradient all, and it cannot keep an optimizer from counting the step. Weights, optimizer and
    running statistics stay as they were; the schedules continue.

    Processes agree on every step, so weights stay equal. With float16's loss scaler, infinite gradients are its own
    business until its scale is below 1: it skips the step and takes a smaller scale, which is logged. Losses are
    monitored all the same. bfloat16 has the range of float32 and needs no scaler, so one that is there is switched off.
    DeepSpeed, and several optimizers at once, are left alone, and a line in the log says so.

    The iterations whose gradients are accumulated are skipped together, and the first with a non-finite number is
    kept: no more than one batch is held besides the one at work, however many make a step.

    For each skipped step `nonfinite/iter_N` in the work_dir gets `rank_R.pth` from every process at fault (batch,
    assignment, random states), `weights.pth` and `config.py`; `tools/analysis_tools/replay_nonfinite.py` runs it again.

    On a GPU an iteration waits for one number, as mmengine does for each loss that it logs.

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
        """Replace `backward` and `step` of the optimizer wrapper."""
        self.iteration: Iteration | None = None
        self.losses: list[Tensor] = []
        self.sound: Tensor | None = None
        self.fault: tuple[str, bool] | None = None
        self.scale = 0.0
        self.logger, self.wrapper = runner.logger, runner.optim_wrapper
        self.guarding = isinstance(self.wrapper, OptimWrapper)
        if not self.guarding:
            kind = type(self.wrapper).__name__
            runner.logger.warning(f'NanGuardHook leaves {kind} alone: steps on non-finite numbers are not skipped')
            return
        self.after_train(runner)
        self.backward, self.step = self.wrapper.backward, self.wrapper.step
        self.wrapper.backward, self.wrapper.step = self._backward, self._step
        if getattr(self.wrapper, 'cast_dtype', None) == torch.bfloat16:
            self.wrapper.loss_scaler = torch.amp.GradScaler(enabled=False)
        self.model = getattr(runner.model, 'module', runner.model)
        self.norms = running_statistics(self.model)

    def after_train(self, runner: Runner) -> None:
        """Restore the optimizer wrapper."""
        for name in ('backward', 'step'):
            vars(runner.optim_wrapper).pop(name, None)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Drop the empty state of a scaler that was switched off, which one that is on would refuse."""
        optimizer = checkpoint.get('optimizer')
        if isinstance(optimizer, dict) and optimizer.get('loss_scaler') == {}:
            del optimizer['loss_scaler']

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Record what the iteration starts from, unless one before it in the same step is at fault."""
        if not self.guarding:
            return
        if self.sound is None:
            self.kept = [statistic.clone() for statistic in self.norms]
        if self.sound is None or self.sound:
            self.iteration = Iteration(runner.iter, data_batch, random_states())

    def _backward(self, loss: Tensor, **kwargs: Any) -> None:
        """Run the backward pass, and check the loss and the gradients so far."""
        self.losses.append(loss.detach())
        self.backward(loss, **kwargs)
        numbers = torch.stack([self.losses[-1].float(), *self._gradient_norms()])
        sound = numbers.isfinite().all()
        self.sound = sound if self.sound is None else self.sound & sound

    def _step(self, **kwargs: Any) -> None:
        """Step if all is finite, in all processes."""
        sound = self.sound.int()
        if is_distributed():
            all_reduce(sound, 'min')
        if sound.item():
            self.step(**kwargs)
        else:
            self.fault = self._describe()
        self.losses.clear()
        self.sound = None

    def _gradient_norms(self) -> list[Tensor]:
        """Measure each gradient by its largest number; none while a loss scaler deals with them."""
        if self._scale() >= 1:
            return []
        parameters = [p for group in self.wrapper.optimizer.param_groups for p in group['params']]
        gradients = [p.grad for p in parameters if p.grad is not None and p.grad.numel()]
        return [norm.float() for norm in torch._foreach_norm(gradients, float('inf'))] if gradients else []

    def _scale(self) -> float:
        """Return the scale of the loss, 0 without a scaler; where it has fallen, a step was skipped."""
        scaler = getattr(self.wrapper, 'loss_scaler', None)
        before, self.scale = self.scale, scaler.get_scale() if scaler is not None and scaler.is_enabled() else 0.0
        if self.scale < before:
            self.logger.info(f'infinite gradients: the loss scaler skipped a step ({before:g} to {self.scale:g})')
        return self.scale

    def _describe(self) -> tuple[str, bool]:
        """Describe which numbers are not finite here; return also whether a loss is among them."""
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
        everywhere = all_gather_object(Fault(runner.rank, fault, bad_loss, finding.text))
        keep_event(runner, folder, fault, finding, self.iteration)
        message = worst(everywhere).describe(runner.iter, f'{self.events} of {self.max_events}', folder)
        if self.events >= self.max_events:
            raise FloatingPointError(f'{message}. {what_now(runner.work_dir)}')
        runner.logger.warning(message)

    def _find(self, runner: Runner) -> Finding:
        """Find the first non-finite numbers, unless a process cannot run the model by itself."""
        if isinstance(runner.model, FullyShardedDataParallel):
            return Finding(LEFT_TO_REPLAY, [])
        return find_nonfinite(self.model, [self.iteration], self.wrapper.optim_context)
