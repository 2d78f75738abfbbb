"""The base of hooks that monitor a training: their intervals and time budget, and that they leave it unchanged."""

import math
import traceback
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from mixmae_mm.apis.undisturbed import undisturbed
from mixmae_mm.engine.hooks.time_budget import TimeBudget
from mixmae_mm.utils.validation import check_share, check_whole

PATIENCE = 3  # failures in a row


class MonitorHook(Hook):
    """Examine the model every few epochs and once at the end, in the first process alone.

    A run ends with the same weights, to the bit, with and without: modes and random states are put back. What goes
    wrong is logged, never raised; after three times in a row the hook gives up. Rounds for which there is no time are
    left out, but for the first and the one at the end. Models sharded among processes (FSDP, DeepSpeed) are not
    looked at, since one process alone cannot use them.

    Rounds come after the checkpoint of the same moment is saved.

    Args:
        interval: Epochs between two rounds, 0 for none at all, not even at the end; of a run that counts iterations, as
            many as go through the images once are an epoch.
        budget: Share of the run's time that the hook may take, from 0 to 1.
        seed: Of all that is drawn at random.

    Raises:
        ValueError: numbers outside of what they can be.
    """

    priority = 'VERY_LOW'

    def __init__(self, interval: int = 10, budget: float = 0.01, seed: int = 0) -> None:
        check_whole(0, interval=interval, seed=seed)
        check_share('the time', above_zero=True, budget=budget)
        self.interval, self.budget, self.seed = interval, budget, seed

    def prepare(self, runner: Runner, model: nn.Module) -> None:
        """Prepare what all rounds use."""
        raise NotImplementedError

    def monitor(self, runner: Runner, model: nn.Module, step: int) -> str:
        """Examine a model, in evaluation mode, after `step` iterations, and return a line to log."""
        raise NotImplementedError

    def before_train(self, runner: Runner) -> None:
        """Start the clock, and find the model that there is to look at, if any."""
        self.time_budget = TimeBudget(self.budget)
        self.failures, self.seen_at, self.is_ready, self.has_spaced = 0, None, False, False
        looks = runner.rank == 0 and self.interval > 0
        self.model = _whole(runner.model) if looks else None
        if looks and self.model is None:
            self._log(runner, 'stays out: the model is sharded among processes, and one alone cannot use it')

    def after_train_epoch(self, runner: Runner) -> None:
        """Take a turn where epochs are counted."""
        if _counts_epochs(runner) and self.every_n_epochs(runner, self.interval):
            self._take_turn(runner, runner.iter)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Take a turn where iterations are counted."""
        if self.model is None or _counts_epochs(runner):
            return
        if self.every_n_train_iters(runner, self.interval * _epoch_length(runner)):
            self._take_turn(runner, runner.iter + 1)

    def after_train(self, runner: Runner) -> None:
        """Take the last turn, and log the time that all of them took."""
        if self.model is not None and self.seen_at != runner.iter:
            self._take_turn(runner, runner.iter, at_end=True)
        budget = self.time_budget
        if budget.rounds:
            share = f'{budget.spent / budget.elapsed:.2%} of the {budget.elapsed:.0f} s of the run'
            self._log(runner, f'{budget.rounds} round(s) took {budget.spent:.2f} s, {share}')

    def _take_turn(self, runner: Runner, step: int, at_end: bool = False) -> None:
        """Monitor, if there is a model and time."""
        if self.model is None or not (at_end or self._has_time(runner)):
            return
        self.seen_at = step
        try:
            with undisturbed(self.model):
                if not self.is_ready:
                    with self.time_budget.preparing():
                        self.prepare(runner, self.model)
                    self.is_ready = True
                with self.time_budget.spending():
                    line = self.monitor(runner, self.model, step)
        except Exception:  # whatever it is, it is not the training's
            self._note_failure(runner)
        else:
            self.failures = 0
            self._log(runner, f'{line} ({self.time_budget.last:.2f} s)')

    def _has_time(self, runner: Runner) -> bool:
        """Return whether a round fits the budget; the first that does not is logged."""
        affordable = self.time_budget.affords_another()
        if not affordable and not self.has_spaced:
            self.has_spaced = True
            self._log(
                runner,
                f'a round takes {self.time_budget.last:.2f} s, more than budget={self.budget:g} of the time allows '
                f'every {self.interval} epoch(s): some are left out',
            )
        return affordable

    def _note_failure(self, runner: Runner) -> None:
        """Log what went wrong, in full the first time, and give up in the end."""
        self.failures += 1
        reason = traceback.format_exc().strip()
        reason = f'\n{reason}' if self.failures == 1 else reason.splitlines()[-1]
        after = 'training continues'
        if self.failures == PATIENCE:
            self.model, after = None, f'given up after {PATIENCE} failures in a row, training continues without'
        runner.logger.warning(f'{type(self).__name__} failed ({after}): {reason}')

    def _log(self, runner: Runner, text: str) -> None:
        """Log a line with the hook's name."""
        runner.logger.info(f'{type(self).__name__}: {text}')


def _whole(model: nn.Module) -> nn.Module | None:
    """Return the model itself, out of what copies it to several processes; None if each has a part only."""
    if not is_model_wrapper(model):
        return model
    return model.module if isinstance(model, DistributedDataParallel) else None


def _counts_epochs(runner: Runner) -> bool:
    """Return whether a run goes by epochs."""
    return isinstance(runner.train_loop, EpochBasedTrainLoop)


def _epoch_length(runner: Runner) -> int:
    """Return how many iterations all processes together take to go through the images once; if unknown, all there are.

    A sampler without end is as long as the dataset in each process, so that its loader is as long as in a single one.
    """
    loader = runner.train_loop.dataloader
    sampler = getattr(loader.batch_sampler, 'sampler', loader.sampler)
    try:
        sharing = runner.world_size if len(sampler) == len(loader.dataset) else 1
        return math.ceil(len(loader) / sharing)
    except TypeError:
        return runner.max_iters
