"""Randomness inside an iteration that a resumed run repeats."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mixmae_mm.registry import HOOKS
from mixmae_mm.utils.seed import fold, seed_everything


@HOOKS.register_module()
class IterationSeedHook(Hook):
    """Seed every iteration by its position: (run's seed, rank, iteration), or (..., batch) outside training.

    Assignments, drop path and mixup are drawn from global random states, which no checkpoint holds. Set anew before
    each iteration, a resumed run draws what an uninterrupted one draws, and ranks draw differently. Validation and test
    batches get seeds that do not change from one epoch to the next.
    """

    priority = 'HIGHEST'

    def _before_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, mode: str = 'train') -> None:
        """Seed before anything else in the iteration draws; the batch itself is seeded image by image."""
        position = (runner.iter,) if mode == 'train' else (batch_idx, 1)
        seed_everything(fold(runner.seed, runner.rank, *position))
