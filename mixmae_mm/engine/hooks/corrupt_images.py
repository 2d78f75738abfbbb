"""Images that cannot be read, listed in the run's work_dir."""

import os
from collections.abc import Iterator

from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import Dataset

from mixmae_mm.datasets.corrupt_images import CorruptImageCount
from mixmae_mm.datasets.skip_corrupt import inner_datasets
from mixmae_mm.registry import HOOKS


@HOOKS.register_module()
class CorruptImagesHook(Hook):
    """List the images that cannot be read in `<work_dir>/corrupt.txt`: path, tab, reason, once each.

    A run that starts anew begins the list anew; a resumed one continues it.

    Args:
        name: The file's name in the work_dir.
    """

    def __init__(self, name: str = 'corrupt.txt') -> None:
        self.name = name

    def before_train(self, runner: Runner) -> None:
        """Begin the list anew, unless the run is resumed."""
        file = os.path.join(runner.work_dir, self.name)
        if runner.iter == 0 and is_main_process() and os.path.exists(file):
            os.remove(file)
        barrier()  # no process adds before

    def _before_epoch(self, runner: Runner, mode: str = 'train') -> None:
        """Pass the path of the list to the datasets of training, validation or testing."""
        for corrupt in corrupt_counts(getattr(runner, f'{mode}_dataloader').dataset):
            corrupt.list_in(os.path.join(runner.work_dir, self.name))

    def after_train(self, runner: Runner) -> None:
        """Log how many there were."""
        file = os.path.join(runner.work_dir, self.name)
        if is_main_process() and os.path.exists(file):
            with open(file, 'rb') as lines:
                count = sum(b'\t' in line for line in lines)
            runner.logger.warning(f'{count:,} corrupt image{"s" * (count > 1)} skipped; all are listed in {file}')


def corrupt_counts(dataset: Dataset) -> Iterator[CorruptImageCount]:
    """Return the counts of a dataset and of those that it repeats or joins."""
    for owner in (dataset, getattr(dataset, 'pipeline', None)):
        if hasattr(owner, 'corrupt'):
            yield owner.corrupt
    for one in inner_datasets(dataset):
        yield from corrupt_counts(one)
