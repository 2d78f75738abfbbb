"""Images with label masks: paired by name, checked, and read with the same scaling and crop.

Letters: B images, C channels, H x W pixels.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmengine import fileio
from PIL import Image, ImageOps
from torch import Tensor

from mixmae_mm.datasets.decoding import open_image
from mixmae_mm.datasets.file_list import list_images
from mixmae_mm.datasets.image_reader import ImageLoader, ImageReader, fit
from mixmae_mm.datasets.skip_corrupt import mask_fault
from mixmae_mm.datasets.transforms.load_image import CorruptImageError
from mixmae_mm.evaluation.labeled_images import draw_parts
from mixmae_mm.structures import Size
from mixmae_mm.utils.names import expand, printable

Masked = dict[str, str]
"""Image files, each with the file of its mask."""
LABELS = ('1', 'L', 'P')
"""Pillow modes that can hold labels from 0 to 255."""


class MaskedImageLoader(NamedTuple):
    """Loader of images with masks as their last channel, scaled and cropped alike, labels by nearest neighbor."""

    image_loader: ImageLoader
    masks: Masked
    num_classes: int
    ignore_index: int = 255

    @property
    def is_multispectral(self) -> bool:
        """Whether images are multispectral."""
        return self.image_loader.is_multispectral

    def read(self, path: str, size: Size) -> np.ndarray:
        """Return an image and its mask, scaled and cropped to `size` = (h, w): (h, w, C + 1).

        Raise `CorruptImageError` if a file is corrupt, and `ValueError` if the mask does not fit image or classes.
        """
        image = self.image_loader.load.transform(dict(img_path=path))['img']
        labels = load_mask(self.masks[path])
        fault = mask_fault(dict(gt_seg_map=labels, ori_shape=image.shape), self.num_classes, self.ignore_index)
        if fault:
            raise ValueError(f'{printable(self.masks[path])}: {fault}')
        scaled = ImageOps.fit(Image.fromarray(labels), size[::-1], Image.Resampling.NEAREST)
        return np.concatenate([fit(image, size), np.array(scaled)[..., None]], axis=2)


def load_mask(path: str) -> np.ndarray:
    """Read a mask as labels, uint8 (H, W); raise `ValueError` for colors, `CorruptImageError` for a corrupt file."""
    try:
        image = open_image(fileio.get(path))
        labels = np.array(image)
    except Exception as error:  # corrupt bytes make Pillow and its plug-ins raise nearly anything
        raise CorruptImageError(f'{printable(path)}: {type(error).__name__}: {error}') from error
    if image.mode not in LABELS:
        raise ValueError(f'{printable(path)} has mode {image.mode}, but a mask is one 8-bit channel of labels')
    return labels.astype(np.uint8)


def pair_masks(
    images: str, masks: str, extensions: Sequence[str] | None = None, img_suffix: str = '', seg_map_suffix: str = '.png'
) -> Masked:
    """Pair the images below a folder with the masks of the same names below another, as mmseg does.

    Images have `extensions`, or the usual ones, and end in `img_suffix`. In the name of the mask, `seg_map_suffix`
    replaces `img_suffix` or, without one, the extension. Raise `ValueError` if a folder or a mask is missing.
    """
    images, masks = expand(images), expand(masks)
    for folder in (images, masks):
        if not os.path.isdir(folder):
            raise ValueError(f'there is no folder {folder} (looked for {Path(folder).absolute()})')
    files = [entry['img_path'] for entry in list_images(images, extensions) if entry['img_path'].endswith(img_suffix)]
    if not files:
        raise ValueError(f'no image in {images} ends in {img_suffix}')
    stems = [os.path.relpath(file, images).removesuffix(img_suffix or Path(file).suffix) for file in files]
    pairs = {file: os.path.join(masks, stem + seg_map_suffix) for file, stem in zip(files, stems, strict=True)}
    missing = [file for file, mask in pairs.items() if not os.path.isfile(mask)]
    if missing:
        example = f'{printable(missing[0])} needs {printable(pairs[missing[0]])}'
        raise ValueError(f'{len(missing):,} of {len(pairs):,} images have no mask: {example}; check the suffixes')
    return pairs


def split_masked(
    images: str, masks: str, extensions: Sequence[str] | None, max_images: int, seed: int, **suffixes: str
) -> tuple[Masked, Masked]:
    """Pair training and validation images with their masks, as `pair_masks` does with its `suffixes`.

    `extensions` are those of the images, None for the usual ones. If both folders have `train` and `val`, these are
    used; otherwise the images are split at random. If there are more than `max_images` together, this many are drawn.
    """
    parts = [[os.path.join(expand(folder), part) for folder in (images, masks)] for part in ('train', 'val')]
    places = parts if all(os.path.isdir(folder) for part in parts for folder in part) else [[images, masks]]
    listed = [list(pair_masks(*place, extensions, **suffixes).items()) for place in places]
    return draw_parts(listed, max_images, seed, images)


def count_classes(pairs: Masked, ignore_index: int) -> int:
    """Return 1 plus the largest label in the masks that can be read, but at least 2."""
    largest = 1
    for path in pairs.values():
        with suppress(CorruptImageError):  # left out later, with a warning
            labels = load_mask(path)
            largest = max(largest, int(labels[labels != ignore_index].max(initial=0)))
    return largest + 1


def read_masked(
    names: Iterable[str], reader: ImageReader, masks: Mapping[str, str], num_classes: int, ignore_index: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches of images (B, C, H, W) and their labels (B, H, W); corrupt images are left out, with a warning."""
    image_loader = MaskedImageLoader(reader.image_loader, masks, num_classes, ignore_index)
    for _, pixels in ImageReader(reader.size, image_loader, reader.batch_size, reader.threads)(names):
        both = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        yield both[:, :-1], both[:, -1].long()
