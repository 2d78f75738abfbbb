"""Checkpoints at any iteration, on a signal or every few minutes, and resuming from them within an epoch."""

import time
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook, EMAHook, Hook
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch import distributed, nn
from torch.utils.data import IterableDataset, Sampler

from mixmae_mm.engine.hooks.checkpoint import is_updated
from mixmae_mm.engine.hooks.stop_signals import StopSignals
from mixmae_mm.registry import HOOKS
from mixmae_mm.utils.atomic_write import atomic_write
from mixmae_mm.utils.launching import timeout_of

LATEST = 'latest.pth'
"""The checkpoint written between those of `CheckpointHook`; each new one replaces it."""
PREEMPTED = 75
"""Exit status of a run that was asked to stop and has written a checkpoint: a temporary failure, as in sysexits.h."""


class Preempted(SystemExit):
    """The exit of a training run that was asked to stop, after it has written a checkpoint."""


class Remaining(Sampler):
    """A batch sampler that skips the first batches of one epoch: their indices are drawn, but no image is read."""

    def __init__(self, batches: Sampler, skipped: int) -> None:
        self.batches, self.skipped = batches, skipped

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the remaining batches, and all in later epochs; only an iterator that is used counts as an epoch."""
        skipped, self.skipped = self.skipped, 0
        yield from islice(self.batches, skipped, None)

    def __len__(self) -> int:
        """Return the number of batches in a full epoch, as the loop counts them."""
        return len(self.batches)

    def __getattr__(self, name: str) -> Any:
        """Return any other attribute of the batch sampler, such as `batch_size`."""
        return getattr(self.__dict__['batches'], name)


@HOOKS.register_module()
class PreemptionHook(Hook):
    """Hook that writes `latest.pth` every few minutes and when the run is asked to stop, and resumes within an epoch.

    On a signal, the checkpoint is written after the current iteration or, if gradients are accumulated, after the next
    update; the process then exits with status 75. A signal also ends a validation of the training loop, which is
    repeated after resuming. All processes of a run agree on the iteration, and exit once the checkpoint is written. In
    a run of one process, a second signal ends it at once. Each epoch ends with an update by the mean of the gradients
    accumulated so far, so that no checkpoint loses gradients.

    From such a checkpoint, mmengine's loop would start the epoch over but keep counting iterations. This hook makes it
    skip the batches already seen, without reading them. If random draws depend on the position alone, as with
    `SeededSampler` and `IterationSeedHook`, the run ends bit-equal to one that was never stopped. A validation due
    right after the checkpoint is repeated on resuming, unless the checkpoint was written again after it.

    Args:
        minutes: Minutes between checkpoints; None to write them on signals only.
        signals: Names of the signals that ask to stop, such as those of Slurm and Kubernetes.
    """

    priority = 'LOWEST'

    def __init__(self, minutes: float | None = 30, signals: tuple[str, ...] = ('SIGTERM', 'SIGUSR1')) -> None:
        if minutes is not None and not minutes > 0:
            raise ValueError(f'minutes between checkpoints must be above 0, or None for none, got {minutes}')
        self.minutes, self.signals = minutes, StopSignals(signals)
        self.seen = 0
        """Number of batches of the epoch that a resumed run skips."""
        self.is_validated = False
        """Whether no validation is due on resuming."""
        self.position = 0
        """Number of batches of the epoch so far; 0 at its end."""
        self.began = 0, 0
        """Epoch and iteration number of the latest iteration to begin."""
        self.checkpoints: CheckpointHook | None = None
        """The hook that writes the run's other checkpoints."""
        self.loop: BaseLoop | None = None
        self.group: distributed.ProcessGroup | None = None
        """The process group by which several processes agree."""
        self.val_batches = 0
        """Number of validation batches that every one of several processes has."""

    def before_run(self, runner: Runner) -> None:
        """Make the loop listen for the signals while it runs, if the run writes checkpoints at all."""
        self.checkpoints = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
        wrapper, loop = getattr(runner, 'optim_wrapper', None), runner._train_loop
        if loop is self.loop:  # prepared already, in a program that trains again
            return
        self.loop = loop
        if self.checkpoints is not None and isinstance(loop, BaseLoop):
            loop.run = self.signals.noted()(loop.run)  # a decorator: signals are noted during each run
        if runs_epochs(loop) and hasattr(wrapper, 'initialize_count_status'):
            # mmengine would count from the start of training, and warn that gradients were lost
            count, length = wrapper.initialize_count_status, len(loop.dataloader)
            wrapper.initialize_count_status = lambda model, *counts: count(model, self.seen, length)

    def before_train(self, runner: Runner) -> None:
        """Make an epoch-based loop resume where the checkpoint was written, and run a validation that is due."""
        self.saved = time.monotonic()
        self.began, loop = (-1, -1), runner.train_loop
        self.signals.is_alone = runner.world_size == 1
        if runner.world_size > 1:
            self.group = distributed.new_group(backend='gloo', timeout=timeout_of(runner.cfg))
        if runs_epochs(loop):
            loop.run_epoch = partial(self._run_epoch, loop)
        if getattr(runner, '_resume', False) and not self.is_validated and self._is_to_validate(runner):
            runner.val_loop.run()

    @staticmethod
    def _is_to_validate(runner: Runner) -> bool:
        """Return whether the loop validates after the epoch or iteration that the run has reached."""
        loop, by_epoch = runner.train_loop, isinstance(runner.train_loop, EpochBasedTrainLoop)
        if runner.val_loop is None or not isinstance(loop, EpochBasedTrainLoop | IterBasedTrainLoop):
            return False
        loop._decide_current_val_interval()
        step, steps = (loop.epoch, loop.max_epochs) if by_epoch else (loop.iter, loop.max_iters)
        return step > 0 and step >= loop.val_begin and (step % loop.val_interval == 0 or step == steps)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Store the position of the run within the epoch."""
        if self._is_between(runner):  # mmengine counts as if still within an iteration
            checkpoint['meta'].update(epoch=runner.epoch, iter=runner.iter)
        if 'run_epoch' in vars(runner.train_loop):
            checkpoint['meta']['seen'] = dict(batches=self.position, of=len(runner.train_dataloader))

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Determine where in the epoch to resume: at its start if epochs now have a different length."""
        self.is_validated = checkpoint.get('meta', {}).get('validated', False)
        if getattr(runner, '_resume', False) and isinstance(runner.train_loop, EpochBasedTrainLoop):
            meta, length = checkpoint.get('meta', {}), len(runner.train_dataloader)
            seen = meta.get('seen', dict(batches=0, of=length))
            self.seen = seen['batches'] if seen['of'] == length else 0
            self.is_validated |= seen['batches'] > 0
            if 'seen' not in meta and meta.get('iter', 0) != meta.get('epoch', 0) * length:
                self.is_validated = True
                text = 'the checkpoint does not say where in epoch %d it was written: the epoch starts over'
                runner.logger.warning(text, meta.get('epoch', 0) + 1)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Record the epoch and the iteration."""
        self.began = runner.epoch, runner.iter

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Write a checkpoint if one is due, and end the process if it was asked to stop."""
        if self.checkpoints is None:
            return
        due = self.minutes is not None and time.monotonic() - self.saved >= 60 * self.minutes
        asked, due = self._agree(distributed.ReduceOp.MAX, self.signals.came, due)
        over = not isinstance(runner.train_loop, EpochBasedTrainLoop) and runner.iter + 1 == runner.max_iters
        if not (asked or due) or not is_updated(runner) or over:
            return
        self._save(runner)
        if asked:
            self._stop(runner, runner.iter + 1)

    def before_val(self, runner: Runner) -> None:
        """Count the batches that every process has: one may have a batch fewer, and streams have no length."""
        loader = getattr(runner.val_loop, 'dataloader', None)
        is_counted = loader is not None and not isinstance(loader.dataset, IterableDataset)
        (self.val_batches,) = self._agree(distributed.ReduceOp.MIN, len(loader) if is_counted else 0)

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """End the training loop's validation if asked to stop; save the trained weights, not their averages."""
        if self.checkpoints is None or not self._is_between(runner) or not is_updated(runner):
            return
        averages = [hook for hook in runner.hooks if isinstance(hook, EMAHook)]
        if any(getattr(hook, 'evaluate_on_origin', False) for hook in averages):
            return  # mmpretrain's hook validates twice, and which weights are in the model cannot be seen
        if self.group is not None and batch_idx >= self.val_batches:
            return
        (asked,) = self._agree(distributed.ReduceOp.MAX, self.signals.came)
        if asked:
            for hook in averages:
                hook.after_val_epoch(runner)  # put the trained weights back in place of their averages
            self._save(runner)
            self._stop(runner, runner.iter)

    def _is_between(self, runner: Runner) -> bool:
        """Return whether the loop is between iterations (or epochs): it has counted the last one that began."""
        epoch, iteration = self.began
        return runner.epoch > epoch if isinstance(runner.train_loop, EpochBasedTrainLoop) else runner.iter > iteration

    def _stop(self, runner: Runner, iteration: int) -> NoReturn:
        """Log what was written and end the process, once all processes have written it."""
        if self.group is not None:
            self._agree(distributed.ReduceOp.MAX, 0)
            self.signals.ignore_from_now()  # launchers signal the others when the first process has ended
        text = 'asked to stop: wrote %s after iteration %d; the same command with --resume continues from there'
        runner.logger.warning(text, LATEST, iteration)
        raise Preempted(PREEMPTED)

    def after_train(self, runner: Runner) -> None:
        """Remove `latest.pth` if there is a later checkpoint."""
        if self.checkpoints is not None and is_main_process():
            latest = self.checkpoints.file_backend.join_path(self.checkpoints.out_dir, LATEST)
            pointer = Path(runner.work_dir, 'last_checkpoint')
            is_replaced = pointer.exists() and pointer.read_text() != latest
            if is_replaced and self.checkpoints.file_backend.isfile(latest):
                self.checkpoints.file_backend.remove(latest)

    def _agree(self, how: distributed.ReduceOp, *numbers: int) -> list[int]:
        """Return the minimum or the maximum of each number over all processes."""
        if self.group is None:
            return list(numbers)
        shared = torch.tensor(numbers, dtype=torch.int32)
        distributed.all_reduce(shared, how, self.group)
        return shared.tolist()

    def _save(self, runner: Runner) -> None:
        """Write a checkpoint of this iteration, and point `last_checkpoint` to it."""
        hook = self.checkpoints
        whole = dict(save_optimizer=True, save_param_scheduler=True, by_epoch=False, backend_args=hook.backend_args)
        runner.save_checkpoint(hook.out_dir, LATEST, **whole, **hook.args)
        if is_main_process():
            with atomic_write(Path(runner.work_dir, 'last_checkpoint')) as file:
                file.write(hook.file_backend.join_path(hook.out_dir, LATEST).encode())
        self.saved = time.monotonic()

    def _run_epoch(self, loop: EpochBasedTrainLoop) -> None:
        """Run the rest of an epoch: `EpochBasedTrainLoop.run_epoch` without the batches already seen.

        Raise ValueError if batches were already seen and the data are a stream, whose batches cannot be skipped.
        """
        loop.runner.call_hook('before_train_epoch')
        loop.runner.model.train()
        if hasattr(loop.runner.optim_wrapper, 'initialize_count_status'):
            loop.runner.optim_wrapper.initialize_count_status(nn.Identity())  # it would warn of batch norm in the model
        seen, self.seen = self.seen, 0
        if seen and isinstance(loop.dataloader.dataset, IterableDataset):
            raise ValueError('a stream of images cannot be resumed within an epoch: train for iterations')
        if seen:
            # a DataLoader refuses to set this attribute; its iterator, made when the epoch begins, reads it
            vars(loop.dataloader)['batch_sampler'] = Remaining(loop.dataloader.batch_sampler, seen)
        for index, batch in enumerate(loop.dataloader, seen):
            self.position = index + 1
            loop.run_iter(index, batch)
        self.position = 0
        loop.runner.call_hook('after_train_epoch')
        loop._epoch += 1


def runs_epochs(loop: object) -> bool:
    """Return whether a loop runs epochs exactly as mmengine's does."""
    return isinstance(loop, EpochBasedTrainLoop) and type(loop).run_epoch is EpochBasedTrainLoop.run_epoch
