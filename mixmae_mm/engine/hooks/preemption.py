"""Checkpoints at any iteration, on a signal or every so many minutes, and going on from them within an epoch."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook, EMAHook, Hook
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch import nn
from torch.utils.data import Sampler

from mixmae_mm.engine.hooks.checkpoint import is_updated
from mixmae_mm.registry import HOOKS
from mixmae_mm.utils.atomic_write import atomic_write

LATEST = 'latest.pth'
"""The checkpoint between those of `CheckpointHook`; the next one replaces it."""
PREEMPTED = 75
"""Exit status of a run that was asked to stop and has written a checkpoint: a temporary failure, as in sysexits.h."""


class Preempted(SystemExit):
    """Training was asked to stop, and a checkpoint is written."""


class Remaining(Sampler):
    """A batch sampler without its first batches, once; they are drawn, and nothing of them is read."""

    def __init__(self, batches: Sampler, skipped: int) -> None:
        self.batches, self.skipped = batches, skipped

    def __iter__(self) -> Iterator[list[int]]:
        """Yield what remains, and all batches in later epochs; loaders make an iterator that they do not use."""
        skipped, self.skipped = self.skipped, 0
        yield from islice(self.batches, skipped, None)

    def __len__(self) -> int:
        """Return the number of batches of an epoch, as the loop counts them."""
        return len(self.batches)

    def __getattr__(self, name: str) -> Any:
        """Return what else is asked of a batch sampler, such as `batch_size`."""
        return getattr(self.__dict__['batches'], name)


@HOOKS.register_module()
class PreemptionHook(Hook):
    """Write `latest.pth` when the run is asked to stop, and every so many minutes; go on from it within an epoch.

    On a signal it is written after the iteration that runs, or, where gradients are accumulated, after the update;
    the process then ends with the status 75. A validation is left at once, and made again after resuming. All
    processes of a run agree on the iteration. A second signal ends the process at once. An epoch ends with an update,
    of the mean of the gradients that are there, so that no checkpoint loses gradients.

    mmengine's loop begins the epoch anew after such a checkpoint, and counts on. Here it leaves out the batches that
    were seen, without reading them. What is drawn at random must depend on the position alone, as with `SeededSampler`
    and `IterationSeedHook`; then the run ends bit-equal to one that was never stopped. A validation that comes after
    the checkpoint is made again, unless the checkpoint was written again after it.

    Args:
        minutes: Between checkpoints; None for none but on signals.
        signals: Names of what asks to stop, such as Slurm's and Kubernetes'.
    """

    priority = 'LOWEST'

    def __init__(self, minutes: float | None = 30, signals: tuple[str, ...] = ('SIGTERM', 'SIGUSR1')) -> None:
        if minutes is not None and not minutes > 0:
            raise ValueError(f'minutes between checkpoints must be above 0, or None for none, got {minutes}')
        unknown = [name for name in signals if not hasattr(signal, name)]
        if unknown:
            raise ValueError(f'{unknown[0]} is no signal of this system: give names such as SIGTERM')
        self.minutes, self.signals = minutes, [getattr(signal, name) for name in signals]
        self.asked = False
        self.seen = 0
        """Batches of the epoch that a resumed run leaves out."""
        self.is_validated = False
        """Whether a resumed run comes from within an epoch, or from a checkpoint that knows the validation after it."""
        self.position = 0
        """Batches of the epoch up to now, 0 at its end."""
        self.handlers: dict[int, Any] = {}
        self.hook: CheckpointHook | None = None
        """What writes the run's other checkpoints."""
        self.group: torch.distributed.ProcessGroup | None = None
        """What the processes agree by."""
        self.val_batches = sys.maxsize
        """Batches of a validation that every process has."""
        self.progress: dict[str, int] = {}
        """Epochs and iterations to be noted in the checkpoint, if others than mmengine counts."""

    def before_run(self, runner: Runner) -> None:
        """Prepare the loop to listen to the signals as long as it trains, if the run writes checkpoints at all."""
        self.hook = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
        if self.hook is not None and isinstance(runner._train_loop, BaseLoop):
            runner._train_loop.run = partial(self._listen, runner._train_loop.run)
        wrapper, loop = getattr(runner, 'optim_wrapper', None), runner._train_loop
        if runs_epochs(loop) and hasattr(wrapper, 'initialize_count_status'):
            # mmengine counts from the first epoch on, and warns of gradients that were lost
            count, length = wrapper.initialize_count_status, len(loop.dataloader)
            wrapper.initialize_count_status = lambda model, *counts: count(model, self.seen, length)

    def _listen(self, run: Callable[[], object]) -> object:
        """Run a loop; signals do afterwards what they did before, however it ends."""
        if threading.current_thread() is not threading.main_thread():
            return run()
        before = {number: signal.signal(number, self._ask) for number in self.signals}
        self.handlers = {number: handler or signal.SIG_DFL for number, handler in before.items()}  # None: not Python's
        LISTENING.append(self)
        try:
            return run()
        finally:
            LISTENING.remove(self)
            self.leave()

    def leave(self) -> None:
        """Have signals do what they did before."""
        for number, handler in self.handlers.items():
            signal.signal(number, handler)

    def before_train(self, runner: Runner) -> None:
        """Have an epoch-based loop go on where the checkpoint was written."""
        self.saved = time.monotonic()
        self.group = torch.distributed.new_group(backend='gloo') if runner.world_size > 1 else None
        loop = runner.train_loop
        if runs_epochs(loop):
            loop.run_epoch = partial(self._run_epoch, loop)
        if getattr(runner, '_resume', False) and not self.is_validated and self._is_to_validate(runner):
            runner.val_loop.run()

    @staticmethod
    def _is_to_validate(runner: Runner) -> bool:
        """Return whether the loop validates where the run stands."""
        loop, by_epoch = runner.train_loop, isinstance(runner.train_loop, EpochBasedTrainLoop)
        if runner.val_loop is None or not isinstance(loop, EpochBasedTrainLoop | IterBasedTrainLoop):
            return False
        loop._decide_current_val_interval()
        step, steps = (loop.epoch, loop.max_epochs) if by_epoch else (loop.iter, loop.max_iters)
        return step > 0 and step >= loop.val_begin and (step % loop.val_interval == 0 or step == steps)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Note where in the epoch the run is."""
        checkpoint['meta'].update(self.progress)
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            checkpoint['meta']['seen'] = dict(batches=self.position, of=len(runner.train_dataloader))

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Find out where in the epoch to go on: at its start if epochs are of another length now."""
        self.is_validated = checkpoint.get('meta', {}).get('validated', False)
        if getattr(runner, '_resume', False) and isinstance(runner.train_loop, EpochBasedTrainLoop):
            meta, length = checkpoint.get('meta', {}), len(runner.train_dataloader)
            seen = meta.get('seen', dict(batches=0, of=length))
            self.seen = seen['batches'] if seen['of'] == length else 0
            self.is_validated |= seen['batches'] > 0
            if 'seen' not in meta and meta.get('iter', 0) != meta.get('epoch', 0) * length:
                self.is_validated = True
                text = 'the checkpoint does not say where in epoch %d it was written: the epoch begins anew'
                runner.logger.warning(text, meta.get('epoch', 0) + 1)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Write a checkpoint if it is time, and end the process if it was asked to stop."""
        if self.hook is None:
            return
        asked, due = self._agree()
        over = not isinstance(runner.train_loop, EpochBasedTrainLoop) and runner.iter + 1 == runner.max_iters
        if not (asked or due) or not is_updated(runner) or over:
            return
        self._save(runner)
        if asked:
            self._stop(runner, runner.iter + 1)

    def before_val(self, runner: Runner) -> None:
        """Count the batches in which all processes can agree; one may have a batch less than others."""
        if self.group is not None:
            (self.val_batches,) = self._reduce([len(runner.val_loop.dataloader)], 'MIN')

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Leave the validation if the run was asked to stop; the checkpoint is of the weights that train."""
        if self.hook is None or batch_idx >= self.val_batches or not any(self._reduce([self.asked], 'MAX')):
            return
        for hook in runner.hooks:
            if isinstance(hook, EMAHook):
                hook.after_val_epoch(runner)  # averaged weights have stood in the model's place
        self.progress = dict(epoch=runner.epoch, iter=runner.iter)  # mmengine counts as within an iteration
        self._save(runner)
        self._stop(runner, runner.iter)

    def _stop(self, runner: Runner, iteration: int) -> NoReturn:
        """Say what was written, and end the process."""
        text = 'asked to stop: wrote %s after iteration %d, from which the same command with --resume goes on'
        runner.logger.warning(text, LATEST, iteration)
        raise Preempted(PREEMPTED)

    def after_train(self, runner: Runner) -> None:
        """Remove the checkpoint that later ones replace, unless there are none."""
        if self.hook is not None and is_main_process():
            latest = self.hook.file_backend.join_path(self.hook.out_dir, LATEST)
            pointer = Path(runner.work_dir, 'last_checkpoint')
            is_replaced = pointer.exists() and pointer.read_text() != latest
            if is_replaced and self.hook.file_backend.isfile(latest):
                self.hook.file_backend.remove(latest)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        """Note a signal; the next one does what it did before."""
        self.asked = True
        signal.signal(number, self.handlers[number])

    def _agree(self) -> tuple[bool, bool]:
        """Return whether any process was asked to stop, and whether a checkpoint is due."""
        due = self.minutes is not None and time.monotonic() - self.saved >= 60 * self.minutes
        asked, due = self._reduce([self.asked, due], 'MAX')
        return bool(asked), bool(due)

    def _reduce(self, numbers: list[int], how: str) -> list[int]:
        """Return the least (MIN) or the greatest (MAX) of all processes."""
        if self.group is None:
            return numbers
        shared = torch.tensor(numbers, dtype=torch.int32)
        torch.distributed.all_reduce(shared, getattr(torch.distributed.ReduceOp, how), self.group)
        return shared.tolist()

    def _save(self, runner: Runner) -> None:
        """Write a checkpoint of this iteration, and point to it."""
        hook = self.hook
        whole = dict(save_optimizer=True, save_param_scheduler=True, by_epoch=False, backend_args=hook.backend_args)
        runner.save_checkpoint(hook.out_dir, LATEST, **whole, **hook.args)
        if is_main_process():
            with atomic_write(Path(runner.work_dir, 'last_checkpoint')) as file:
                file.write(hook.file_backend.join_path(hook.out_dir, LATEST).encode())
        self.saved = time.monotonic()

    def _run_epoch(self, loop: EpochBasedTrainLoop) -> None:
        """Run what remains of an epoch: `EpochBasedTrainLoop.run_epoch`, but for batches that were seen.

        Raises:
            ValueError: the data are a stream, whose batches cannot be left out.
        """
        loop.runner.call_hook('before_train_epoch')
        loop.runner.model.train()
        if hasattr(loop.runner.optim_wrapper, 'initialize_count_status'):
            loop.runner.optim_wrapper.initialize_count_status(nn.Identity())  # it would warn of the model's batch norms
        seen, self.seen = self.seen, 0
        if seen and loop.dataloader.batch_sampler is None:
            raise ValueError('a stream of images cannot be resumed within an epoch: train for iterations')
        if seen:
            # a loader refuses that it be set; its iterator, which asks for it, is made when the first epoch begins
            vars(loop.dataloader)['batch_sampler'] = Remaining(loop.dataloader.batch_sampler, seen)
        for index, batch in enumerate(loop.dataloader, seen):
            self.position = index + 1
            loop.run_iter(index, batch)
        self.position = 0
        loop.runner.call_hook('after_train_epoch')
        loop._epoch += 1


def runs_epochs(loop: object) -> bool:
    """Return whether a loop runs epochs as mmengine's does."""
    return isinstance(loop, EpochBasedTrainLoop) and type(loop).run_epoch is EpochBasedTrainLoop.run_epoch


LISTENING: list[PreemptionHook] = []
"""Hooks whose signals this process listens to; processes that are forked from it do not."""


def _hold_signals(how: int) -> None:
    """Block signals, or let them through, around a fork: one that comes too early would be lost."""
    for hook in LISTENING:
        signal.pthread_sigmask(how, hook.signals)


def _leave_signals() -> None:
    """Have a forked process do by signals what others do."""
    for hook in LISTENING:
        hook.leave()
    _hold_signals(signal.SIG_UNBLOCK)
    LISTENING.clear()


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(
        before=partial(_hold_signals, signal.SIG_BLOCK),
        after_in_parent=partial(_hold_signals, signal.SIG_UNBLOCK),
        after_in_child=_leave_signals,
    )
