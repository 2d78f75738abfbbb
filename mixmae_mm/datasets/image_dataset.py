"""What all our datasets of pictures share: broken ones are replaced, counted and listed, and too many stop a run."""

import os
from collections.abc import Callable, Sequence

from mmengine.dataset import BaseDataset

from mixmae_mm.datasets.corrupt_images import UnreadableCount
from mixmae_mm.datasets.file_list import Listing
from mixmae_mm.datasets.skip_corrupt import LARGEST, note_unreadable
from mixmae_mm.datasets.transforms.load_image import UnreadablePictureError
from mixmae_mm.utils.names import expand, shown
from mixmae_mm.utils.validation import check_share, check_whole


class PictureDataset(BaseDataset):
    """Pictures without classes, of which some may be broken: a base for datasets, which say where pictures are.

    A picture that cannot be read is replaced by the next one in order, and told of in a warning, once for all workers.
    `UnreadableListHook` lists them in the work folder. More than `max_unreadable` of all pictures, and more than 10,
    stop the run; as many as are listed count, of earlier parts of a resumed run and of other processes too.

    Args:
        data_root: Where the pictures are; their paths begin with it.
        pipeline: Transforms; start with `SeedSample` and one that reads, such as `LoadPicture`.
        indices: Take only the first so many pictures, or those at these positions.
        test_mode: An unreadable picture is an error, not replaced.
        max_refetch: How many unreadable pictures in a row stop the run.
        max_unreadable: The share of all pictures that may be unreadable, 0 to 1.
        endings: Of the names of pictures, `['.npy']` for one; None for those of the usual formats.

    Raises:
        ValueError: `data_root` is no path, `max_refetch` no number, `max_unreadable` no share, or an ending has no dot.
    """

    def __init__(
        self,
        data_root: str,
        pipeline: Sequence[dict | Callable] = (),
        indices: int | Sequence[int] | None = None,
        test_mode: bool = False,
        max_refetch: int = 100,
        max_unreadable: float = LARGEST,
        endings: Sequence[str] | None = None,
    ) -> None:
        if not isinstance(data_root, str | os.PathLike):
            raise ValueError(f'data_root says where the pictures are: a path, got {data_root!r}')
        check_whole(max_refetch=max_refetch)
        check_share('the pictures', max_unreadable=max_unreadable)
        self.max_unreadable = max_unreadable
        self.endings = _check_endings(endings)
        super().__init__(
            data_root=expand(data_root),
            pipeline=pipeline,
            indices=indices,
            test_mode=test_mode,
            max_refetch=max_refetch,
            serialize_data=False,  # what our datasets hold is as flat, and shared by more
        )
        self.unreadable = UnreadableCount(len(self))

    def read(self, picture: dict) -> bytes | None:
        """Give the bytes of a picture of `data_list`; None where it is a file that the pipeline opens.

        What is raised here makes the picture an unreadable one.
        """
        return None

    def bytes_of(self, picture: dict) -> bytes | None:
        """Give what `read` gives of a picture of `data_list`, whose entry loses what says where they lie.

        Raises:
            UnreadablePictureError: it cannot be read.
            ImportError: a library is missing.
        """
        try:
            return self.read(picture)
        except ImportError:
            raise  # a library is missing, not the image's fault
        except Exception as error:  # a damaged archive makes its reader raise nearly anything
            raise UnreadablePictureError(f'{shown(picture["img_path"])}: {type(error).__name__}: {error}') from error

    def prepare_data(self, idx: int) -> dict:
        """Run the pipeline on one picture.

        Raises:
            UnreadablePictureError: it cannot be read.
        """
        picture = self.get_data_info(idx)
        content = self.bytes_of(picture)
        return self.pipeline(picture if content is None else picture | dict(img_bytes=content))

    def _get_unserialized_subset(self, indices: int | Sequence[int]) -> Sequence[dict]:
        """Choose pictures without making a list of dicts, as `indices`, `get_subset` and `get_subset_` ask."""
        if isinstance(indices, Sequence) and isinstance(self.data_list, Listing):
            return self.data_list.take(indices)
        return super()._get_unserialized_subset(indices)

    def _copy_without_annotation(self, memo: dict | None = None) -> 'PictureDataset':
        """Copy all but the pictures, for `get_subset`.

        Upstream mmengine keeps one memo for all such copies, and so takes an object that is gone for a new one at its
        address. Can go when no upstream mmengine has to be supported.
        """
        return super()._copy_without_annotation({} if memo is None else memo)

    def __getitem__(self, idx: int) -> dict:
        """Run the pipeline on one picture, or on the first readable one after it.

        Raises:
            ValueError: too many pictures cannot be read, in a row or of all.
        """
        if self.test_mode:
            return self.prepare_data(idx)
        self.unreadable.write()
        failures = []
        while len(failures) < min(self.max_refetch, len(self)):
            try:
                return self.prepare_data(idx)
            except UnreadablePictureError as error:
                failures.append(str(error))
                self._note(idx, error)
            idx = (idx + 1) % len(self)
        raise ValueError(_too_many_in_a_row(failures, self.data_root))

    def _note(self, idx: int, error: UnreadablePictureError) -> None:
        """Warn of a picture the first time it is met.

        Raises:
            ValueError: it is one too many.
        """
        place = idx, self.data_list[idx]['img_path']
        note_unreadable(self.unreadable, place, error, self.data_root, self.max_unreadable, all_below=True)


def _check_endings(endings: Sequence[str] | None) -> tuple[str, ...] | None:
    """Bring endings to lower case.

    Raises:
        ValueError: there are none, or one that no ending can be.
    """
    if endings is None:
        return None
    listed = isinstance(endings, list | tuple) and all(isinstance(one, str) for one in endings)
    if not (endings and listed and all(one.rfind('.') == 0 for one in endings)):
        raise ValueError(f"endings are a list of such as '.npy', with one dot, got {endings!r}")
    return tuple(one.lower() for one in endings)


def check_exists(root: str) -> None:
    """See that there is something at `data_root`.

    Raises:
        ValueError: there is nothing.
    """
    if not os.path.exists(root):
        raise ValueError(
            f'data_root {root!r} does not exist (looked for {os.path.abspath(root)}); '
            'set it in the config or with --cfg-options train_dataloader.dataset.data_root=/your/folder'
        )


def _too_many_in_a_row(failures: list[str], root: str) -> str:
    """Say that nothing readable was met, with the first reasons."""
    first = ''.join(f'\n  {failure}' for failure in failures[:3])
    return f'{len(failures)} pictures in a row below {root!r} cannot be read, the first of them:{first}'
