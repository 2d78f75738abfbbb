"""What makes a run the same run when it goes on: settings, data, batches, seed and schedule."""

import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import Dataset

from mixmae_mm.registry import HOOKS

NAMES = 64
"""Files whose names are compared."""
PARTS = ('model', 'optim_wrapper', 'train_dataloader')
"""Of a config, what the weights at the end depend on, but for the names in `IDLE`."""
IDLE = {
    *('optim_wrapper.type', 'optim_wrapper.dtype', 'optim_wrapper.loss_scale'),  # precision goes by the device
    *('max_corrupt', 'max_refetch'),
    *('init_cfg', 'with_cp', 'data_root', 'data_prefix', 'ann_file', 'backend_args', 'lazy_init', 'serialize_data'),
    *('batch_size', 'num_workers', 'persistent_workers', 'pin_memory', 'prefetch_factor', 'timeout'),
}
"""Names of settings that do not change where a run ends, or are compared by what they come to."""
PLAIN = (str, int, float, bool, type(None))
SHOWN = 6
"""Differences that a message lists."""


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
        changed = differences(stored, ours)
        if changed and not self.allow_changes:
            raise ValueError(
                f'the checkpoint is of another run: {"; ".join(changed)}. Resume with the same; or go on all the same '
                'with --allow-changes; or start a new run from its weights: load_from=FILE without --resume'
            )
        if changed:
            runner.logger.warning('resumed with changes: %s', '; '.join(changed))
            if any(line.startswith('optim_wrapper.optimizer') for line in changed):
                runner.logger.warning("learning rate, weight decay and such are the checkpoint's all the same")
        self._tell_schedule(runner, checkpoint)

    def _identity(self, runner: Runner) -> dict[str, Any]:
        """Return what the run trains with, computed once, since some datasets open a file for each name."""
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


def differences(stored: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    """List what differs, in words; what an older checkpoint does not tell is not compared."""
    ours, settings = dict(ours), [x.get('settings', {}) for x in (stored, ours)]
    pairs = {key: (stored[key], x) for key, x in ours.items() if key in stored and key != 'settings'}
    if all(settings):
        pairs |= {key: tuple(x.get(key, 'nothing') for x in settings) for key in {**settings[0], **settings[1]}}
    lines = [f'{key}: {then} then, {now} now' for key, (then, now) in pairs.items() if then != now]
    return lines[:SHOWN] + [f'and {len(lines) - SHOWN} more'] * (len(lines) > SHOWN)


def flat(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Yield the settings in a nest by their dotted names, as a command line writes them, but for the `IDLE` ones."""
    parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, part in parts:
        if not {key, f'{name}.{key}'} & IDLE:
            yield from flat(part, f'{name}.{key}')
    if not isinstance(value, Mapping | list | tuple):
        yield name, repr(value) if isinstance(value, PLAIN) else getattr(value, '__qualname__', type(value).__name__)


def identity(runner: Runner) -> dict[str, Any]:
    """Return what the weights at the end depend on, in words for a message, and `settings` by their names."""
    loader = runner.train_dataloader
    batch = getattr(loader.batch_sampler, 'batch_size', None) or loader.batch_size
    of_rank = runner.rank if (runner.cfg.get('randomness') or {}).get('diff_rank_seed') else 0  # mmengine adds it
    found = {'seed': runner.seed - of_rank, 'processes': runner.world_size, 'images in a batch of each': batch}
    if hasattr(loader.dataset, '__len__'):
        found |= {'images': len(loader.dataset), 'their names': digest(loader.dataset)}
    if isinstance(runner.train_loop, EpochBasedTrainLoop):
        found['batches in an epoch'] = len(loader)
    config = runner.cfg._cfg_dict.to_dict()
    return found | dict(settings=dict(line for part in PARTS for line in flat(config.get(part), part)))


def digest(dataset: Dataset) -> str | None:
    """Return a checksum of the names of some of the files, None where a dataset does not tell them."""
    if not hasattr(dataset, 'get_data_info'):
        return None
    places = np.linspace(0, len(dataset) - 1, NAMES).astype(int).tolist() if len(dataset) else []
    names = [Path(str(dataset.get_data_info(place).get('img_path', ''))).name for place in places]
    return f'{zlib.crc32(chr(0).join(names).encode(errors="surrogateescape")):08x}'
