"""Checks of single images: their size against that of annotations or masks, and the labels of masks."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import BinaryIO, NamedTuple

import numpy as np
from mmengine.dataset import BaseDataset
from PIL import Image

from mixmae_mm.datasets.decoding import MAX_PIXELS, SIDEWAYS, open_image, orientation_of, upright_size, without_metadata
from mixmae_mm.engine.checks.report import Finding

UPRIGHT = 'save the images upright without EXIF data, or redo the labels'
TURNED = {
    True: Finding(
        'error',
        'labels that fit images as stored, but the readers rotate these by their EXIF orientation',
        f'{UPRIGHT}; or read images with LoadImageFromFile(color_type="color_ignore_orientation")',
    ),
    False: Finding(
        'error',
        'labels that fit upright images, but the config reads these as stored, ignoring their EXIF orientation',
        f'{UPRIGHT}; or leave color_type and imdecode_backend of LoadImageFromFile at their defaults',
    ),
}
"""Findings by whether the readers turn images."""
FITS_BOTH = Finding(
    'warning',
    'images with an EXIF orientation, and labels whose size fits both with and without it',
    f'draw some with their labels; if they do not match, {UPRIGHT}',
)
OTHER_SIZE = Finding(
    'error',
    'images whose size differs from their annotations or mask',
    'resize boxes and masks with the images (masks with nearest neighbors), or unpack those they were made for',
)
NOT_INDEX = Finding(
    'error',
    'masks that are not single-channel index images',
    'replace each color with its class label and save one channel (Pillow modes L or P); if the three channels '
    'are equal, keep one',
)
UNTURNING = ('turbojpeg', 'tifffile')  # backends of mmcv that ignore the orientation


class Header(NamedTuple):
    """Header of an image: (width, height) when upright and as stored in the file, and its orientation, 1 to 8."""

    upright: tuple[int, int]
    stored: tuple[int, int]
    orientation: int = 1


class Labels(NamedTuple):
    """Labels that masks may have: those of the classes, which start at 1 if 0 is no class, and the ignored one."""

    classes: int = 0
    """Number of classes; 0 if it is unknown."""
    zero_is_none: bool = False
    """mmseg's `reduce_zero_label`."""
    ignored: int = 255

    def of_classes(self) -> range:
        """Return the labels of classes."""
        return range(self.zero_is_none, self.classes + self.zero_is_none) if self.classes else range(256)

    def findings(self, mask: str, pixels: Mapping[int, int]) -> Iterator[Finding]:
        """Report labels that no pixel of this mask may have."""
        allowed = self.of_classes()
        if wrong := sorted(set(pixels) - {*allowed, self.ignored} - ({0} if self.zero_is_none else set())):
            zero = ', 0 for none of them' if self.zero_is_none else ''
            what = f'masks with labels other than {allowed[0]} to {allowed[-1]}{zero}, and {self.ignored}'
            advice = "make the masks again, or correct num_classes, the dataset's classes or reduce_zero_label"
            yield Finding('error', what, advice, f'{mask}: {", ".join(map(str, wrong[:5]))}')


def labels_of(dataset: BaseDataset, num_classes: int = 0) -> Labels:
    """Return the labels that the masks of an mmseg dataset may have: those of its type, whatever a config selects."""
    named = type(dataset).METAINFO.get('classes') or dataset.metainfo.get('classes') or ()
    return Labels(len(named) or num_classes, bool(dataset.reduce_zero_label), dataset.ignore_index)


def turns_images(pipeline: list[Mapping] | tuple[Mapping, ...]) -> bool:
    """Return whether a pipeline turns images by their EXIF orientation, as mmcv does by default."""
    loads = [step for step in pipeline if str(step.get('type', '')).endswith('LoadImageFromFile')]
    kinds = [(step.get('color_type', 'color'), step.get('imdecode_backend')) for step in loads[:1]]
    return not any(kind == 'unchanged' or 'ignore' in kind or backend in UNTURNING for kind, backend in kinds)


def read_header(file: BinaryIO, whole: bool = False, max_pixels: int | None = MAX_PIXELS) -> Header:
    """Read the size and orientation of an image; any exception of Pillow means that the file is corrupt.

    With `whole`, the EXIF data of a PNG file is read too; it can come after the pixels, so the image is decoded.
    """
    try:
        image = open_image(file, max_pixels)
    except ImportError:
        raise
    except Exception:  # its metadata may be corrupt
        file.seek(0)
        image = open_image(without_metadata(file.read()), max_pixels)
    orientation = orientation_of(image) if whole or image.format != 'PNG' else 1
    upright = upright_size(image, orientation)
    return Header(upright, upright[::-1] if orientation >= SIDEWAYS else upright, orientation)


def size_findings(path: str, header: Header, labels: tuple[int, int], turns: bool = True) -> Iterator[Finding]:
    """Compare an image's size with (width, height) of its labels; `turns`: whether readers apply its orientation."""
    read = header.upright if turns else header.stored
    if labels not in (header.upright, header.stored):
        yield OTHER_SIZE.at(f'{path}: {read[0]} x {read[1]}, annotated as {labels[0]} x {labels[1]}')
    elif labels != read:
        yield TURNED[turns].at(f'{path}: orientation {header.orientation}')
    elif header.orientation != 1 and header.upright == header.stored:
        yield FITS_BOTH.at(f'{path}: orientation {header.orientation}')


def mask_findings(
    mask: str, image: str, header: Header | None, labels: Labels, turns: bool = True, quick: bool = False
) -> tuple[list[Finding], Counter]:
    """Compare a mask with its image's header, if any; return what is wrong, and the number of pixels of each label."""
    with Image.open(mask) as opened:
        findings = list(size_findings(image, header, opened.size, turns)) if header else []
        if len(opened.getbands()) != 1 or opened.mode == 'F':
            return [*findings, NOT_INDEX.at(f'{mask}: {opened.mode}')], Counter()
        pixels = Counter() if quick else _count_labels(np.asarray(opened))
    return [*findings, *labels.findings(mask, pixels)], pixels


def _count_labels(mask: np.ndarray) -> Counter:
    """Count the pixels of each label; those of 8-bit masks are not sorted, which is faster."""
    if mask.dtype == np.uint8:
        return Counter({label: count for label, count in enumerate(np.bincount(mask.ravel()).tolist()) if count})
    labels, counts = np.unique(mask, return_counts=True)
    return Counter(dict(zip(labels.tolist(), counts.tolist(), strict=True)))
