"""The base of all our datasets of images: corrupt ones are replaced, counted and listed, and too many stop a run."""

import os
from collections.abc import Callable, Sequence

from mmengine.dataset import BaseDataset

from mixmae_mm.datasets.corrupt_images import CorruptImageCount
from mixmae_mm.datasets.file_list import Listing
from mixmae_mm.datasets.skip_corrupt import LARGEST, note_corrupt
from mixmae_mm.datasets.transforms.load_image import CorruptImageError
from mixmae_mm.utils.names import expand, printable
from mixmae_mm.utils.validation import check_share, check_whole


class ImageDataset(BaseDataset):
    """Images without classes, of which some may be corrupt: a base class for datasets of any storage.

    An image that cannot be read is replaced by the next one in order, and reported in a warning, once for all workers.
    `CorruptImagesHook` lists them in the work_dir. More than `max_corrupt` of all images, and more than 10,
    stop the run; as many as are listed count, of earlier parts of a resumed run and of other processes too.

    Args:
        data_root: Where the images are; their paths begin with it.
        pipeline: Transforms; start with `SeedSample` and one that reads, such as `LoadImage`.
        indices: Take only the first so many images, or those at these positions.
        test_mode: An corrupt image is an error, not replaced.
        max_refetch: How many corrupt images in a row stop the run.
        max_corrupt: The share of all images that may be corrupt, 0 to 1.
        extensions: Of the names of images, `['.npy']` for one; None for those of the usual formats.

    Raises:
        ValueError: an invalid `data_root`, `max_refetch` or `max_corrupt`, or an extension without a dot.
    """

    def __init__(
        self,
        data_root: str,
        pipeline: Sequence[dict | Callable] = (),
        indices: int | Sequence[int] | None = None,
        test_mode: bool = False,
        max_refetch: int = 100,
        max_corrupt: float = LARGEST,
        extensions: Sequence[str] | None = None,
    ) -> None:
        if not isinstance(data_root, str | os.PathLike):
            raise ValueError(f'data_root says where the images are: a path, got {data_root!r}')
        check_whole(max_refetch=max_refetch)
        check_share('the images', max_corrupt=max_corrupt)
        self.max_corrupt = max_corrupt
        self.extensions = _check_extensions(extensions)
        super().__init__(
            data_root=expand(data_root),
            pipeline=pipeline,
            indices=indices,
            test_mode=test_mode,
            max_refetch=max_refetch,
            serialize_data=False,  # what our datasets hold is as flat, and shared by more
        )
        self.corrupt = CorruptImageCount(len(self))

    def read(self, image: dict) -> bytes | None:
        """Return the bytes of an image of `data_list`; None where it is a file that the pipeline opens.

        Whatever is raised here makes the image a corrupt one.
        """
        return None

    def bytes_of(self, image: dict) -> bytes | None:
        """Return the bytes of an image of `data_list`; its entry loses their location.

        Raises:
            CorruptImageError: it cannot be read.
            ImportError: a library is missing.
        """
        try:
            return self.read(image)
        except ImportError:
            raise  # a library is missing, not the image's fault
        except Exception as error:  # a corrupt archive makes its reader raise nearly anything
            raise CorruptImageError(f'{printable(image["img_path"])}: {type(error).__name__}: {error}') from error

    def prepare_data(self, idx: int) -> dict:
        """Run the pipeline on one image.

        Raises:
            CorruptImageError: it cannot be read.
        """
        image = self.get_data_info(idx)
        content = self.bytes_of(image)
        return self.pipeline(image if content is None else image | dict(img_bytes=content))

    def _get_unserialized_subset(self, indices: int | Sequence[int]) -> Sequence[dict]:
        """Choose images without making a list of dicts, as `indices`, `get_subset` and `get_subset_` ask."""
        if isinstance(indices, Sequence) and isinstance(self.data_list, Listing):
            return self.data_list.take(indices)
        return super()._get_unserialized_subset(indices)

    def _copy_without_annotation(self, memo: dict | None = None) -> 'ImageDataset':
        """Copy all but the images, for `get_subset`.

        Upstream mmengine keeps one memo for all such copies, and so takes an object that is gone for a new one at its
        address. Can go when no upstream mmengine has to be supported.
        """
        return super()._copy_without_annotation({} if memo is None else memo)

    def __getitem__(self, idx: int) -> dict:
        """Run the pipeline on one image, or on the first readable one after it.

        Raises:
            ValueError: too many images cannot be read, in a row or of all.
        """
        if self.test_mode:
            return self.prepare_data(idx)
        self.corrupt.write()
        failures = []
        while len(failures) < min(self.max_refetch, len(self)):
            try:
                return self.prepare_data(idx)
            except CorruptImageError as error:
                failures.append(str(error))
                self._note(idx, error)
            idx = (idx + 1) % len(self)
        first = ''.join(f'\n  {failure}' for failure in failures[:3])
        count = len(failures)
        raise ValueError(f'{count} images in a row below {self.data_root!r} cannot be read, the first of them:{first}')

    def _note(self, idx: int, error: CorruptImageError) -> None:
        """Log a warning on an image the first time it is read."""
        place = idx, self.data_list[idx]['img_path']
        note_corrupt(self.corrupt, place, error, self.data_root, self.max_corrupt, all_below=True)


def _check_extensions(extensions: Sequence[str] | None) -> tuple[str, ...] | None:
    """Bring extensions to lower case."""
    if extensions is None:
        return None
    listed = isinstance(extensions, list | tuple) and all(isinstance(one, str) for one in extensions)
    if not (extensions and listed and all(one.rfind('.') == 0 for one in extensions)):
        raise ValueError(f"extensions are a list of such as '.npy', with one dot, got {extensions!r}")
    return tuple(one.lower() for one in extensions)


def check_exists(root: str) -> None:
    """Check that there is something at `data_root`.

    Raises:
        ValueError: there is nothing.
    """
    if not os.path.exists(root):
        raise ValueError(
            f'data_root {root!r} does not exist (looked for {os.path.abspath(root)}); '
            'set it in the config or with --cfg-options train_dataloader.dataset.data_root=/your/folder'
        )
