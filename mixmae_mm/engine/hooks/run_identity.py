"""The identity of a run, compared when it is resumed: settings, data, batches, seed and schedule."""

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
"""Number of files whose names are compared."""
PARTS = ('model', 'optim_wrapper', 'train_dataloader')
"""Parts of a config that determine the final weights, except for the settings in `IDLE`."""
IDLE = {
    *('optim_wrapper.type', 'optim_wrapper.dtype', 'optim_wrapper.loss_scale'),  # the device decides the precision
    *('max_corrupt', 'max_refetch'),
    *('init_cfg', 'with_cp', 'data_root', 'data_prefix', 'ann_file', 'backend_args', 'lazy_init', 'serialize_data'),
    *('batch_size', 'num_workers', 'persistent_workers', 'pin_memory', 'prefetch_factor', 'timeout'),
}
"""Settings that do not affect the final weights, or whose effect is compared instead, as for the batch size."""
PLAIN = (str, int, float, bool, type(None))
SHOWN = 6
"""Maximum number of differences that a message lists."""


@HOOKS.register_module()
class RunIdentityHook(Hook):
    """Hook that stores the identity of the run in each checkpoint, and refuses to resume a run with a different one.

    The data folder and the number of loader workers may change. If the schedule in the config has changed, the hook
    warns that the checkpoint's schedule is used.

    Args:
        allow_changes: Resume in spite of differences, with a warning.
    """

    def __init__(self, allow_changes: bool = False) -> None:
        self.allow_changes = allow_changes
        self.known: dict[str, Any] | None = None
        """The identity of this run, once it has been computed."""

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add the identity of the run."""
        checkpoint['meta']['run'] = self._identity(runner)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compare the identity stored in a resumed checkpoint with that of this run.

        Raise ValueError if they differ, and changes are not allowed.
        """
        if not getattr(runner, '_resume', False):
            return
        stored, ours = checkpoint.get('meta', {}).get('run', {}), self._identity(runner)
        changed = differences(stored, ours)
        if changed and not self.allow_changes:
            raise ValueError(
                f'the checkpoint belongs to another run: {"; ".join(changed)}. Resume with the same settings, or '
                'anyway with --allow-changes; or start a new run from its weights: load_from=FILE without --resume'
            )
        if changed:
            runner.logger.warning('resumed with changes: %s', '; '.join(changed))
            if any(line.startswith('optim_wrapper.optimizer') for line in changed):
                text = 'learning rate, weight decay and other optimizer settings still come from the checkpoint'
                runner.logger.warning(text)
        self._tell_schedule(runner, checkpoint)

    def _identity(self, runner: Runner) -> dict[str, Any]:
        """Return the identity of the run, computed only once because some datasets open a file for each name."""
        self.known = self.known or identity(runner)
        return self.known

    def _tell_schedule(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Warn if the schedule of the checkpoint, which is used, differs from that of the config."""
        schedulers, given = getattr(runner, 'param_schedulers', None), checkpoint.get('param_schedulers')
        for ours, theirs in zip(*(x if isinstance(x, list) else [] for x in (schedulers, given)), strict=False):
            if any(theirs.get(key) != vars(ours).get(key) for key in ('end', 'T_max')):
                runner.logger.warning(
                    'the schedule is still that of the checkpoint: %s ends after step %s (in the config: %s) and then '
                    'keeps its last value. For a new schedule, start a run from the weights: load_from=FILE without '
                    '--resume',
                    *(type(ours).__name__, theirs.get('end'), ours.end),
                )


def differences(stored: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    """Describe each difference in words; entries that an older checkpoint does not store are not compared."""
    ours, settings = dict(ours), [x.get('settings', {}) for x in (stored, ours)]
    pairs = {key: (stored[key], x) for key, x in ours.items() if key in stored and key != 'settings'}
    if all(settings):
        pairs |= {key: tuple(x.get(key, 'nothing') for x in settings) for key in {**settings[0], **settings[1]}}
    lines = [f'{key}: {then} then, {now} now' for key, (then, now) in pairs.items() if then != now]
    return lines[:SHOWN] + [f'and {len(lines) - SHOWN} more'] * (len(lines) > SHOWN)


def flat(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Yield nested settings that are not in `IDLE`: the dotted name, as on the command line, and the value."""
    parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, part in parts:
        if not {key, f'{name}.{key}'} & IDLE:
            yield from flat(part, f'{name}.{key}')
    if not isinstance(value, Mapping | list | tuple):
        yield name, repr(value) if isinstance(value, PLAIN) else getattr(value, '__qualname__', type(value).__name__)


def identity(runner: Runner) -> dict[str, Any]:
    """Return what determines the final weights: entries named as in messages, and `settings` by dotted name."""
    loader = runner.train_dataloader
    batch = getattr(loader.batch_sampler, 'batch_size', None) or loader.batch_size
    of_rank = runner.rank if (runner.cfg.get('randomness') or {}).get('diff_rank_seed') else 0  # mmengine adds the rank
    found = {'seed': runner.seed - of_rank, 'processes': runner.world_size, 'images in a batch of each': batch}
    if hasattr(loader.dataset, '__len__'):
        found |= {'images': len(loader.dataset), 'their names': digest(loader.dataset)}
    if isinstance(runner.train_loop, EpochBasedTrainLoop):
        found['batches in an epoch'] = len(loader)
    config = runner.cfg._cfg_dict.to_dict()
    return found | dict(settings=dict(line for part in PARTS for line in flat(config.get(part), part)))


def digest(dataset: Dataset) -> str | None:
    """Return a checksum of the names of some files, or None if the dataset does not list them."""
    if not hasattr(dataset, 'get_data_info'):
        return None
    places = np.linspace(0, len(dataset) - 1, NAMES).astype(int).tolist() if len(dataset) else []
    names = [Path(str(dataset.get_data_info(place).get('img_path', ''))).name for place in places]
    return f'{zlib.crc32(chr(0).join(names).encode(errors="surrogateescape")):08x}'
