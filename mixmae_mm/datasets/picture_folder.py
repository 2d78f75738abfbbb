"""Any folder of pictures as a dataset: no classes, no annotation file, and broken pictures do not stop a run."""

import logging
import os
from collections.abc import Callable, Sequence

import torch
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from mixmae_mm.datasets.listing import ENDINGS, Listing, files_below, list_pictures
from mixmae_mm.datasets.loading import UnreadablePictureError
from mixmae_mm.registry import DATASETS

__all__ = ['ENDINGS', 'PictureFolder', 'files_below']


@DATASETS.register_module()
class PictureFolder(BaseDataset):
    """All pictures below a folder, at any depth, in the same order on every machine.

    Names that start with a dot are left out; endings may be in upper case; linked folders are followed once. A picture
    that cannot be read is replaced by the next one in order, and counted in a warning, once per file for all workers.

    The pictures are held in a `Listing`, so that memory does not grow with the loader's workers, and the listing of a
    large folder is kept in a file, so that the next start takes a second.

    Args:
        data_root: the folder.
        pipeline: transforms; start with `SeedSample` and `LoadPicture`.
        indices: take only the first so many pictures, or those at these positions.
        test_mode: an unreadable picture is an error, not replaced.
        max_refetch: how many unreadable pictures in a row stop the run.
        cache: keep the listing of a large folder (10,000 pictures or more) in a file below `~/.cache`, or below the
            folder given here, and use it while no folder has changed; False neither keeps nor looks.

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
        cache: bool | str = True,
    ) -> None:
        self.cache = cache
        super().__init__(
            data_root=os.path.expanduser(data_root),
            pipeline=pipeline,
            indices=indices,
            test_mode=test_mode,
            max_refetch=max_refetch,
            serialize_data=False,  # a listing is as flat, and shared by more
        )
        # One flag a file, in memory that the loader's workers share: a count without locks or lost updates.
        self.unreadable = torch.zeros(len(self), dtype=torch.bool).share_memory_()

    def load_data_list(self) -> Listing:
        """List the pictures, sorted folder by folder."""
        _check_folder(self.data_root)
        return list_pictures(self.data_root, self.cache)

    def _get_unserialized_subset(self, indices: int | Sequence[int]) -> Sequence[dict]:
        """Choose pictures without making a list of dicts, as `indices`, `get_subset` and `get_subset_` ask."""
        if isinstance(indices, Sequence) and isinstance(self.data_list, Listing):
            return self.data_list.take(indices)
        return super()._get_unserialized_subset(indices)

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


def _too_many(failures: list[str], folder: str) -> str:
    """Say that nothing readable was met, with the first reasons."""
    first = ''.join(f'\n  {failure}' for failure in failures[:3])
    return f'{len(failures)} pictures in a row below {folder!r} cannot be read, the first of them:{first}'
