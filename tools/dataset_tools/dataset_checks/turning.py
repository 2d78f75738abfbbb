"""Labels against images that EXIF data turn: whose sizes agree, and with which of the two."""

from collections.abc import Iterator

from mmengine.config import ConfigDict

from dataset_checks.files import Seen
from mixmae_mm.engine.checks.report import Fault, Finding

UPRIGHT = 'save the images upright and without EXIF data, or the labels anew'
FOR_STORED = Fault(
    'error',
    'labels that fit images as they are stored, while the readers turn these by their EXIF orientation',
    f'{UPRIGHT}; or have images read by LoadImageFromFile(color_type="color_ignore_orientation")',
)
FOR_UPRIGHT = Fault(
    'error',
    'labels that fit upright images, while the config reads these as they are stored, whatever their EXIF orientation',
    f'{UPRIGHT}; or leave color_type and imdecode_backend of LoadImageFromFile as they usually are',
)
UNKNOWN = {
    True: Fault(
        'warning',
        'images that the readers turn by their EXIF orientation, and labels whose size fits both ways',
        f'draw some with their labels; if they lie apart, {UPRIGHT}',
    ),
    False: Fault(
        'warning',
        'images that the config reads as they are stored, against their EXIF orientation, and labels that fit either',
        f'draw some with their labels; if they lie apart, {UPRIGHT}',
    ),
}
UNTURNING = ('turbojpeg', 'tifffile')  # backends of mmcv that leave the orientation alone


def size_findings(path: str, seen: Seen, labels: tuple[int, int], turns: bool, other: Finding) -> Iterator[Finding]:
    """Compare an image's size with its labels'.

    Args:
        path: The image.
        seen: What its header says.
        labels: (width, height) that the labels are for.
        turns: Whether the readers turn images by their EXIF orientation.
        other: What is wrong if the labels fit neither way.
    """
    read, unread = (seen.upright, seen.stored) if turns else (seen.stored, seen.upright)
    case = f'{path}: orientation {seen.orientation}'
    if labels == read == unread and seen.orientation != 1:
        yield UNKNOWN[turns], case
    elif labels != read and labels == unread:
        yield FOR_STORED if turns else FOR_UPRIGHT, case
    elif labels != read:
        yield other


def turns_images(dataset: ConfigDict) -> bool:
    """Return whether a dataset's pipeline turns images by their EXIF orientation, as mmcv does by default."""
    for step in dataset.get('pipeline') or ():
        if str(step.get('type', '')).endswith('LoadImageFromFile'):
            color = step.get('color_type', 'color')
            return not (color == 'unchanged' or 'ignore' in color or step.get('imdecode_backend') in UNTURNING)
    return True
