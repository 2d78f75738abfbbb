"""Pictures that cannot be read, listed in the run's work folder."""

import os
from collections.abc import Iterator

from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import Dataset

from mixmae_mm.datasets.picture_dataset import PictureDataset
from mixmae_mm.registry import HOOKS


@HOOKS.register_module()
class UnreadableListHook(Hook):
    """List the training pictures that cannot be read in `<work_dir>/unreadable.txt`: path, tab, reason.

    Each stands there once, whichever process and loader worker met it. A run that starts anew begins the list anew; a
    resumed one goes on with it.

    Args:
        name: The file's name in the work folder.

    Raises:
        ValueError: that is no name of a file.
    """

    def __init__(self, name: str = 'unreadable.txt') -> None:
        if not isinstance(name, str) or not name or os.path.basename(name) != name:
            raise ValueError(f'name must be that of a file in the work folder, got {name!r}')
        self.name = name

    def before_train(self, runner: Runner) -> None:
        """Tell the datasets where the list is."""
        file = self._file(runner)
        if runner.iter == 0 and is_main_process() and os.path.exists(file):
            os.remove(file)
        barrier()  # no process adds before
        for dataset in picture_datasets(runner.train_dataloader.dataset):
            dataset.unreadable.list_in(file)

    def after_train(self, runner: Runner) -> None:
        """Say how many there were."""
        file = self._file(runner)
        if is_main_process() and os.path.exists(file):
            with open(file, 'rb') as lines:
                count = sum(b'\t' in line for line in lines)
            runner.logger.warning(f'{count:,} unreadable picture{"s" * (count > 1)} skipped; all are listed in {file}')

    def _file(self, runner: Runner) -> str:
        """Name the list."""
        return os.path.join(runner.work_dir, self.name)


def picture_datasets(dataset: Dataset) -> Iterator[PictureDataset]:
    """Give our datasets among a dataset and those that it repeats or joins."""
    if isinstance(dataset, PictureDataset):
        yield dataset
    inner = [dataset.dataset] if hasattr(dataset, 'dataset') else getattr(dataset, 'datasets', ())
    for one in inner:
        yield from picture_datasets(one)
