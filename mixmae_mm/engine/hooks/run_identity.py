"""What makes a run the same run when it goes on: data, batches, seed and schedule."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import Dataset

from mixmae_mm.registry import HOOKS

NAMES = 64
"""Files whose names are compared."""


@HOOKS.register_module()
class RunIdentityHook(Hook):
    """Keep in each checkpoint what its run trained with, and refuse to go on with anything else.

    The folder of the data may be another, and the number of loader workers. A schedule that the config has changed is
    told: the checkpoint's is taken.

    Args:
        allow_changes: Go on all the same, and warn.
    """

    def __init__(self, allow_changes: bool = False) -> None:
        self.allow_changes = allow_changes
        self.known: dict[str, Any] | None = None
        """What the run trains with, once it was asked."""

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add what the run trains with."""
        checkpoint['meta']['run'] = self._identity(runner)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compare what is resumed with what runs now.

        Raises:
            ValueError: they differ, and changes are not allowed.
        """
        if not getattr(runner, '_resume', False):
            return
        stored, ours = checkpoint.get('meta', {}).get('run', {}), self._identity(runner)
        changed = [
            f'{key}: {stored[key]} then, {ours[key]} now' for key in ours if stored.get(key, ours[key]) != ours[key]
        ]
        if changed and not self.allow_changes:
            raise ValueError(
                f'the checkpoint is of another run: {"; ".join(changed)}. Resume with the same; or go on all the same '
                'with --allow-changes; or start a new run from its weights: load_from=FILE without --resume'
            )
        if changed:
            runner.logger.warning('resumed with changes: %s', '; '.join(changed))
        self._tell_schedule(runner, checkpoint)

    def _identity(self, runner: Runner) -> dict[str, Any]:
        """Ask once: some datasets open a file for each name."""
        self.known = self.known or identity(runner)
        return self.known

    def _tell_schedule(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Say where the schedule of the checkpoint, which is taken, is not that of the config."""
        schedulers, given = getattr(runner, 'param_schedulers', None), checkpoint.get('param_schedulers')
        for ours, theirs in zip(*(x if isinstance(x, list) else [] for x in (schedulers, given)), strict=False):
            if any(theirs.get(key) != vars(ours).get(key) for key in ('end', 'T_max')):
                runner.logger.warning(
                    'the schedule is the old one, of the checkpoint: %s ends after step %s, in the config after %s; '
                    'from there on its last value stays. For a new schedule start a run from the weights: '
                    'load_from=FILE without --resume',
                    *(type(ours).__name__, theirs.get('end'), ours.end),
                )


def identity(runner: Runner) -> dict[str, Any]:
    """Return what the weights at the end depend on, beside model and optimizer, in words for a message."""
    loader = runner.train_dataloader
    batch = getattr(loader.batch_sampler, 'batch_size', None) or loader.batch_size
    of_rank = runner.rank if (runner.cfg.get('randomness') or {}).get('diff_rank_seed') else 0  # mmengine adds it
    found = {'seed': runner.seed - of_rank, 'processes': runner.world_size, 'images in a batch of each': batch}
    if hasattr(loader.dataset, '__len__'):
        found |= {'images': len(loader.dataset), 'their names': digest(loader.dataset)}
    if isinstance(runner.train_loop, EpochBasedTrainLoop):
        found['batches in an epoch'] = len(loader)
    return found


def digest(dataset: Dataset) -> str | None:
    """Return a checksum of the names of some of the files, None where a dataset does not tell them."""
    if not hasattr(dataset, 'get_data_info'):
        return None
    places = np.linspace(0, len(dataset) - 1, NAMES).astype(int).tolist() if len(dataset) else []
    names = [Path(str(dataset.get_data_info(place).get('img_path', ''))).name for place in places]
    return f'{zlib.crc32(chr(0).join(names).encode(errors="surrogateescape")):08x}'
