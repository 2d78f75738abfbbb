"""Images that cannot be read, listed in the run's work_dir."""

import os
from collections.abc import Callable, Iterator
from functools import partial

from mmengine.dist import all_gather_object, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner
from torch.utils.data import Dataset

from mixmae_mm.datasets.skip_corrupt import CorruptImages, inner_datasets
from mixmae_mm.registry import HOOKS

EVERY = 1000  # iterations between two exchanges of what processes found


@HOOKS.register_module()
class CorruptImagesHook(Hook):
    """Hook that lists corrupt images in `<work_dir>/corrupt.txt`, one path per line, in training and evaluation.

    Each is listed once, whichever process and loader worker read it, even if an error ends the run, such as that for
    too many corrupt images. A new run starts a new list; a resumed one continues the old list.

    Args:
        name: Name of the file in the work_dir.
    """

    def __init__(self, name: str = 'corrupt.txt') -> None:
        self.name = name

    def before_run(self, runner: Runner) -> None:
        """Make the loops write the list when they fail."""
        for loop in (runner._train_loop, runner._val_loop, runner._test_loop):
            if isinstance(loop, BaseLoop):
                loop.run = partial(self._run, runner, loop.dataloader.dataset, loop.run)

    def _run(self, runner: Runner, dataset: Dataset, run: Callable[[], object]) -> object:
        """Run a loop; if it fails, write the list before the error is raised."""
        try:
            return run()
        except BaseException:
            self._write(runner, dataset)  # each process by itself: others may have ended
            raise

    def before_train(self, runner: Runner) -> None:
        """Remove the list of an earlier run, unless that run is resumed."""
        file = os.path.join(runner.work_dir, self.name)
        if runner.iter == 0 and is_main_process() and os.path.exists(file):
            os.remove(file)

    def after_train_iter(self, runner: Runner, batch_idx: int, *args: object, **others: object) -> None:
        """Update the list every `EVERY` iterations."""
        if self.every_n_train_iters(runner, EVERY):
            self._after_epoch(runner)

    def _after_epoch(self, runner: Runner, mode: str = 'train') -> None:
        """Update the list."""
        self._list(runner, getattr(runner, f'{mode}_dataloader').dataset)

    def _list(self, runner: Runner, dataset: Dataset) -> None:
        """Exchange what the processes have found, and write it to the list."""
        for _, corrupt in corrupt_counts(dataset):
            for indices in all_gather_object(corrupt.indices()):
                corrupt.flags[indices] = True
        if is_main_process():
            self._write(runner, dataset)

    def _write(self, runner: Runner, dataset: Dataset) -> None:
        """Append the paths that are not yet in the list."""
        pairs = [(owner, index) for owner, corrupt in corrupt_counts(dataset) for index in corrupt.indices()]
        paths = (str(owner.get_data_info(index).get('img_path')) for owner, index in pairs)
        found = {os.fsencode(path.replace('\n', r'\n')) for path in paths}
        if found:
            with open(os.path.join(runner.work_dir, self.name), 'ab+') as file:
                file.seek(0)
                new = sorted(found.difference(file.read().split(b'\n')))
                file.writelines(path + b'\n' for path in new)
            if new:
                runner.logger.warning(f'{len(found):,} corrupt image(s) skipped; all are listed in {file.name}')


def corrupt_counts(dataset: Dataset) -> Iterator[tuple[Dataset, CorruptImages]]:
    """Yield a dataset and the datasets that it repeats or concatenates, each with its corrupt images."""
    for owner in (dataset, getattr(dataset, 'pipeline', None)):
        if hasattr(owner, 'corrupt'):
            yield dataset, owner.corrupt
    for one in inner_datasets(dataset):
        yield from corrupt_counts(one)
