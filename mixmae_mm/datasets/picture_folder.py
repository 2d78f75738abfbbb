"""Any folder of pictures as a dataset: no classes, no annotation file, and broken pictures do not stop a run."""

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import torch
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from mixmae_mm.datasets.loading import UnreadablePictureError
from mixmae_mm.registry import DATASETS

ENDINGS = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff', '.ppm', '.pgm')


@DATASETS.register_module()
class PictureFolder(BaseDataset):
    """All pictures below a folder, at any depth, in the same order on every machine.

    Names that start with a dot are left out; endings may be in upper case; linked folders are followed once. A picture
    that cannot be read is replaced by the next one in order, and counted in a warning, once per file for all workers.

    Args:
        data_root: the folder.
        pipeline: transforms; start with `SeedSample` and `LoadPicture`.
        indices: take only the first so many pictures, or those at these positions.
        test_mode: an unreadable picture is an error, not replaced.
        max_refetch: how many unreadable pictures in a row stop the run.

    Raises:
        ValueError: the folder is missing, is a file, or holds no picture.
    """

    def __init__(
        self,
        data_root: str,
        pipeline: Sequence[dict | Callable] = (),
        indices: int | Sequence[int] | None = None,
        test_mode: bool = False,
        max_refetch: int = 100,
    ) -> None:
        super().__init__(
            data_root=os.path.expanduser(data_root),
            pipeline=pipeline,
            indices=indices,
            test_mode=test_mode,
            max_refetch=max_refetch,
        )
        # One flag a file, in memory that the loader's workers share: a count without locks or lost updates.
        self.unreadable = torch.zeros(len(self), dtype=torch.bool).share_memory_()

    def load_data_list(self) -> list[dict]:
        """List the pictures, sorted folder by folder."""
        _check_folder(self.data_root)
        seen = Counter()
        pictures = [dict(img_path=path) for path in files_below(self.data_root) if _is_picture(path, seen)]
        if not pictures:
            raise ValueError(
                f'no picture below {self.data_root!r}: it holds {_describe(seen)}; '
                f'pictures end in {" ".join(ENDINGS)} (in either case). Set data_root to a folder with such files.'
            )
        return pictures

    def __getitem__(self, idx: int) -> dict:
        """Run the pipeline on one picture, or on the first readable one after it.

        Raises:
            ValueError: too many pictures in a row cannot be read.
        """
        if self.test_mode:
            return self.prepare_data(idx)
        failures = []
        while len(failures) < min(self.max_refetch, len(self)):
            try:
                return self.prepare_data(idx)
            except UnreadablePictureError as error:
                failures.append(str(error))
                self._warn(idx, error)
            idx = (idx + 1) % len(self)
        raise ValueError(_too_many(failures, self.data_root))

    def _warn(self, idx: int, error: UnreadablePictureError) -> None:
        """Warn of a picture the first time it is met, with the number of such pictures so far."""
        if self.unreadable[idx]:
            return
        self.unreadable[idx] = True
        text = f'unreadable picture skipped ({int(self.unreadable.sum())} so far): {error}'
        print_log(text, logger='current', level=logging.WARNING)


def _check_folder(folder: str) -> None:
    """Refuse what is no folder."""
    if os.path.isfile(folder):
        raise ValueError(f'data_root {folder!r} is a file; give the folder that holds the pictures')
    if not os.path.isdir(folder):
        raise ValueError(
            f'data_root {folder!r} does not exist (looked for {os.path.abspath(folder)}); '
            'set it in the config or with --cfg-options train_dataloader.dataset.data_root=/your/folder'
        )


def files_below(folder: str, entered: set[str] | None = None) -> Iterator[str]:
    """Yield the files below a folder, sorted; `entered` holds the real paths met, so that links cannot loop."""
    entered = set() if entered is None else entered
    real = os.path.realpath(folder)
    if real in entered:
        return
    entered.add(real)
    with os.scandir(folder) as entries:
        names = sorted((entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith('.'))
    for name, is_folder in names:
        path = os.path.join(folder, name)
        yield from files_below(path, entered) if is_folder else (path,)


def _is_picture(path: str, seen: Counter) -> bool:
    """Tell by the ending, and count the ending."""
    ending = os.path.splitext(path)[1].lower()
    seen[ending] += 1
    return ending in ENDINGS


def _describe(seen: Counter) -> str:
    """Say how many files of which endings there are."""
    kinds = ', '.join(f'{count} {ending or "without ending"}' for ending, count in seen.most_common(5))
    return f'{seen.total()} files ({kinds})' if seen else 'no files at all'


def _too_many(failures: list[str], folder: str) -> str:
    """Say that nothing readable was met, with the first reasons."""
    first = ''.join(f'\n  {failure}' for failure in failures[:3])
    return f'{len(failures)} pictures in a row below {folder!r} cannot be read, the first of them:{first}'
