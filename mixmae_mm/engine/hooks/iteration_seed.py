"""Per-iteration seeding, so that a resumed run draws the same random numbers."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mixmae_mm.registry import HOOKS
from mixmae_mm.utils.seed import fold, seed_everything


@HOOKS.register_module()
class IterationSeedHook(Hook):
    """Hook that seeds each iteration from (run's seed, rank, iteration), or (..., batch index, 1) outside training.

    Assignments, drop path and mixup draw from the global random states, which checkpoints do not store. Because these
    states are reseeded before each iteration, a resumed run draws the same numbers as an uninterrupted one, while ranks
    draw different ones. Validation and test batches get the same seeds in every epoch.
    """

    priority = 'HIGHEST'

    def _before_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, mode: str = 'train') -> None:
        """Seed before any other draw of the iteration; the data pipeline seeds each image separately."""
        position = (runner.iter,) if mode == 'train' else (batch_idx, 1)
        seed_everything(fold(runner.seed, runner.rank, *position))
