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
    """List the images that cannot be read in `<work_dir>/corrupt.txt`: path, tab, reason.

    Those of training, validation and tests.

    Each is listed once, whichever process and loader worker read it. A run that starts anew begins the list anew; a
    resumed one continues it.

    Args:
        name: The file's name in the work_dir.

    Raises:
        ValueError: an invalid file name.
    """

    def __init__(self, name: str = 'corrupt.txt') -> None:
        if not isinstance(name, str) or not name or os.path.basename(name) != name:
            raise ValueError(f'name must be that of a file in the work_dir, got {name!r}')
        self.name = name

    def before_train(self, runner: Runner) -> None:
        """Pass the path of the list to the training datasets."""
        file = self._file(runner)
        if runner.iter == 0 and is_main_process() and os.path.exists(file):
            os.remove(file)
        barrier()  # no process adds before
        self._pass_list(runner, runner.train_dataloader.dataset)

    def before_val(self, runner: Runner) -> None:
        """Pass the path of the list to the validation datasets."""
        self._pass_list(runner, runner.val_dataloader.dataset)

    def before_test(self, runner: Runner) -> None:
        """Pass the path of the list to the test datasets."""
        self._pass_list(runner, runner.test_dataloader.dataset)

    def after_train(self, runner: Runner) -> None:
        """Log how many there were."""
        file = self._file(runner)
        if is_main_process() and os.path.exists(file):
            with open(file, 'rb') as lines:
                count = sum(b'\t' in line for line in lines)
            runner.logger.warning(f'{count:,} corrupt image{"s" * (count > 1)} skipped; all are listed in {file}')

    def _pass_list(self, runner: Runner, dataset: Dataset) -> None:
        """Pass the path of the list to a dataset, and those in it."""
        for corrupt in corrupt_counts(dataset):
            corrupt.list_in(self._file(runner))

    def _file(self, runner: Runner) -> str:
        """Return the path of the list."""
        return os.path.join(runner.work_dir, self.name)


def corrupt_counts(dataset: Dataset) -> Iterator[CorruptImageCount]:
    """Return the counts of a dataset and of those that it repeats or joins."""
    for owner in (dataset, getattr(dataset, 'pipeline', None)):
        if hasattr(owner, 'corrupt'):
            yield owner.corrupt
    for one in inner_datasets(dataset):
        yield from corrupt_counts(one)
