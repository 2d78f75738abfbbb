"""Datasets of unlabeled images; corrupt ones are replaced and counted, and too many of them stop a run."""

import os
from collections.abc import Callable, Sequence

from mmengine.dataset import BaseDataset

from mixmae_mm.datasets.file_list import Listing, list_images
from mixmae_mm.datasets.skip_corrupt import LARGEST, CorruptImages
from mixmae_mm.datasets.transforms.load_image import CorruptImageError
from mixmae_mm.registry import DATASETS
from mixmae_mm.utils.names import expand


class ImageDataset(BaseDataset):
    """Images in any storage; a corrupt one is replaced by the next, with a single warning across all workers.

    Args:
        data_root: Where the images are; their paths begin with it.
        pipeline: Transforms; start with `SeedSample` and one that reads, such as `LoadImage`.
        indices: Use only the first `indices` images (an int), or those at these positions.
        test_mode: Raise an error for a corrupt image instead of replacing it.
        max_refetch: Number of corrupt images in a row that stops the run.
        max_corrupt: Fraction of all images that may be corrupt, 0 to 1; ten always may.
        extensions: Extensions of image files, such as `['.npy']`; None for those of the usual formats.
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
            raise ValueError(f'data_root must be the path of a folder or file, got {data_root!r}')
        if not 0 <= max_corrupt <= 1:
            raise ValueError(f'max_corrupt must be a fraction of images, 0 to 1, got {max_corrupt}')
        if extensions is not None and not (extensions and all(one.rfind('.') == 0 for one in extensions)):
            raise ValueError(f"extensions must be a list like ['.npy'], with one dot, got {extensions!r}")
        self.extensions = extensions and tuple(one.lower() for one in extensions)
        settings = dict(pipeline=pipeline, indices=indices, test_mode=test_mode, max_refetch=max_refetch)
        super().__init__(data_root=expand(data_root), serialize_data=False, **settings)  # a `Listing` is flat already
        self.corrupt = CorruptImages(len(self), self.data_root, max_corrupt)

    def bytes_of(self, image: dict) -> bytes | None:
        """Return the bytes of an image of `data_list`; None if it is a file that the pipeline opens."""
        return None

    def prepare_data(self, idx: int) -> dict:
        """Run the pipeline on one image; raise `CorruptImageError` if it cannot be read."""
        image = self.get_data_info(idx)
        content = self.bytes_of(image)
        return self.pipeline(image if content is None else image | dict(img_bytes=content))

    def __getitem__(self, idx: int) -> dict:
        """Run the pipeline on an image, or on the next one if it is corrupt; raise ValueError if too many are."""
        if self.test_mode:
            return self.prepare_data(idx)
        failed = []
        while len(failed) < min(self.max_refetch, len(self)):
            try:
                return self.prepare_data(idx)
            except CorruptImageError as error:
                self.corrupt.note(idx, error)
                failed.append(str(error))
            idx = (idx + 1) % len(self)
        raise ValueError(
            f'{len(failed)} images in a row below {self.data_root!r} cannot be read, the first of them: {failed[0]}; '
            'corrupt.txt in the work_dir lists all'
        )

    def _copy_without_annotation(self, memo: dict | None = None) -> 'ImageDataset':
        """Copy all but the images, with a fresh memo: upstream mmengine shares one among copies and mixes them up."""
        return super()._copy_without_annotation({} if memo is None else memo)


@DATASETS.register_module()
class ImageFolder(ImageDataset):
    """All images below the folder `data_root`, at any depth, in the same order on every machine.

    Names that start with a dot are ignored; extensions may be in upper case; symlinked folders are followed once.
    """

    def load_data_list(self) -> Listing:
        """List the images, sorted folder by folder."""
        if not os.path.exists(self.data_root):
            raise ValueError(
                f'data_root {self.data_root!r} does not exist (looked for {os.path.abspath(self.data_root)}); '
                'set it in the config or with --cfg-options train_dataloader.dataset.data_root=/your/folder'
            )
        return list_images(self.data_root, self.extensions)
