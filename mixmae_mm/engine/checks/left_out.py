"""Images that a dataset which lists a folder leaves out silently, because of their extension."""

import os
from collections import Counter
from collections.abc import Callable, Iterator

from mmengine.dataset import BaseDataset

from mixmae_mm.datasets.file_list import EXTENSIONS, OTHER_IMAGES, describe, extension, files_below
from mixmae_mm.engine.checks.datasets import image_folder, is_a
from mixmae_mm.engine.checks.report import Finding
from mixmae_mm.utils.names import printable

IMAGES = frozenset((*EXTENSIONS, *OTHER_IMAGES))
ADD = 'convert or rename them, or add theirs to `extensions` of the dataset if it can be read; nothing, if intended'
RENAME = 'convert or rename them, as img_suffix takes only {}; nothing, if intended'


def left_out_findings(dataset: BaseDataset) -> Iterator[Finding]:
    """Count the images that mmpretrain's or mmseg's listing of a folder leaves out; remote storage is not listed."""
    folder, suffix = image_folder(dataset), getattr(dataset, 'img_suffix', None)
    if dataset.ann_file or not os.path.isdir(folder):
        return
    if is_a(dataset, 'CustomDataset'):
        yield from _finding(folder, _left_out(folder, lambda path: path.lower().endswith(dataset.extensions)), ADD)
    elif is_a(dataset, 'BaseSegDataset') and isinstance(suffix, str):
        found = [path for path in _left_out(folder, _reads(suffix)) if not _is_mask(dataset, folder, path)]
        yield from _finding(folder, found, RENAME.format(_ending(suffix)))


def _left_out(folder: str, is_read: Callable[[str], bool]) -> list[str]:
    """List the images below a folder that are not read, without those of the same name as one that is."""
    found = [path for path in files_below(folder) if extension(os.path.basename(path)) in IMAGES and not is_read(path)]
    names = {os.path.splitext(path)[0] for path in found}
    beside = (os.path.splitext(path)[0] for path in (files_below(folder) if found else ()) if is_read(path))
    names.difference_update(beside)  # of masks or depth beside their images
    return [path for path in found if os.path.splitext(path)[0] in names]


def _reads(suffix: str) -> Callable[[str], bool]:
    """Return which paths mmseg reads, or leaves out for their name and not for their extension."""
    return lambda path: path.endswith((suffix, _ending(suffix)))


def _ending(suffix: str) -> str:
    """Return the extension of names that end in a suffix of mmseg, such as `_rgb.png` or `.png`."""
    return os.path.splitext(f'name{suffix}')[1]


def _is_mask(dataset: BaseDataset, folder: str, path: str) -> bool:
    """Return whether a file may be a mask, because masks of its extension are in the folder of images or below it."""
    masks = os.path.join(dataset.data_prefix.get('seg_map_path') or '', '')
    within = masks.startswith(os.path.join(folder, ''))
    return within and path.endswith(_ending(dataset.seg_map_suffix))


def _finding(folder: str, found: list[str], advice: str) -> Iterator[Finding]:
    """Report how many files of which extensions are left out, if any."""
    if found:
        seen = describe(Counter(os.path.splitext(path)[1] for path in found))
        what = f'the extension leaves out {seen} below {folder.rstrip("/")}, such as {found[0]}'
        yield Finding('warning', printable(what), advice)
