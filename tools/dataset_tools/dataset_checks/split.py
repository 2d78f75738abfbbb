"""Checks of a split: what its file names and annotations show, and each image opened, in several processes."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from io import BytesIO

from mmengine.dataset import BaseDataset
from rich.console import Console
from rich.progress import track
from torch.utils.data import DataLoader

from dataset_checks.samples import Header, Labels, mask_findings, read_header, size_findings
from mixmae_mm.datasets import CorruptImageError, LoadImage, LoadMultispectral
from mixmae_mm.datasets.file_list import EXTENSIONS
from mixmae_mm.datasets.image_dataset import ImageDataset
from mixmae_mm.engine.checks.report import Finding, Report

NO_FOLDER = Finding('error', 'no such folder', 'unpack the data there, or correct the path')
NO_IMAGES = Finding('error', 'no images', f'put files there that end in {" ".join(EXTENSIONS)}')
MISSING = Finding(
    'error',
    'files that are missing',
    'unpack them, or correct where they are looked for: --images; data_root, data_prefix or ann_file in a config',
)
EMPTY = Finding('error', 'empty files (0 bytes)', 'copy or unpack them again')
CUT_OFF = Finding('error', 'images that are cut off', 'copy or unpack them again')
BROKEN = Finding('error', 'files that cannot be read as images', 'copy them again, or delete them')
NO_MASK = Finding('error', 'images without a mask', 'add the masks, or delete the images')
ONLY_IGNORED = Finding('error', 'masks hold only 0 and 255, and 255 is left out of training', 'write 1 in place of 255')
MOSTLY_IGNORED = Finding('warning', 'more than half of the pixels are left out of training', 'nothing, if intended')


class Listed(BaseDataset):
    """Images and their annotations as a list of dicts, which mmengine keeps in little memory."""

    def __init__(self, samples: Iterable[dict]) -> None:
        self.samples = list(samples)
        super().__init__(serialize_data=bool(self.samples))
        del self.samples

    def load_data_list(self) -> list[dict]:
        """Return the samples."""
        return self.samples


@dataclass
class Split:
    """The images of a split."""

    name: str
    kind: str
    dataset: BaseDataset = field(default_factory=lambda: Listed([]))
    findings: Sequence[Finding] = ()
    """What is wrong with names and annotations."""
    counts: dict[str, int | str] = field(default_factory=dict)
    """Columns of the table."""
    classes: Sequence[str] = ()
    """Names of class folders."""
    labels: Labels = Labels()
    """Labels that masks may have."""
    turns: bool = True
    """Whether readers apply the orientation of images."""
    load: LoadImage = field(default_factory=LoadImage)
    quick: bool = False
    """Whether to read headers only."""

    def check(self, report: Report, workers: int, quick: bool) -> None:
        """Open all images, and add what is wrong to the report."""
        self.quick, pixels, console = quick, Counter(), Console(stderr=True)
        report.add(self.name, self.findings)
        loader = DataLoader(self, batch_size=16, num_workers=workers if workers > 1 else 0, collate_fn=list)
        title = f'{self.name}: images'
        for batch in track(loader, title, console=console, transient=True, disable=not console.is_terminal):
            for findings, found in batch:
                report.add(self.name, findings)
                pixels += found
        if pixels:
            report.add(self.name, self._label_findings(pixels))
        if self.counts:
            report.counts.setdefault(self.kind, {})[self.name] = self.counts | self._label_counts(pixels)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[list[Finding], Counter]:
        """Open an image and its mask; return what is wrong, and the number of pixels of each label."""
        sample = self.dataset.get_data_info(index)
        path, mask = sample.get('img_path'), sample.get('seg_map_path')
        header, findings = self._look(sample) if path else (None, [])
        if header and 'width' in sample:
            findings += size_findings(path, header, (sample['width'], sample['height']), self.turns)
        if not mask:
            return findings, Counter()
        if not os.path.isfile(mask):
            return [*findings, NO_MASK.at(path)], Counter()
        if not os.path.getsize(mask):
            return [*findings, EMPTY.at(mask)], Counter()
        try:
            others, pixels = mask_findings(mask, path, header, self.labels, self.turns, self.quick)
        except Exception as error:  # broken bytes make Pillow and its plug-ins raise nearly anything
            return [*findings, _broken(f'{mask}: {error}')], Counter()
        return findings + others, pixels

    def _look(self, sample: dict) -> tuple[Header | None, list[Finding]]:
        """Open an image; return its header, or None, and what is wrong."""
        path, is_multispectral = sample['img_path'], isinstance(self.load, LoadMultispectral)
        try:
            content = self.dataset.bytes_of(sample) if isinstance(self.dataset, ImageDataset) else None
            if content is None and not os.path.isfile(path):
                return None, [MISSING.at(path)]
            if not (os.path.getsize(path) if content is None else content):
                return None, [EMPTY.at(path)]
            if is_multispectral or not self.quick:
                self.load.transform(dict(img_path=path) | ({} if content is None else dict(img_bytes=content)))
            with open(path, 'rb') if content is None else nullcontext(BytesIO(content)) as file:
                return None if is_multispectral else read_header(file, not self.quick, self.load.max_pixels), []
        except ImportError as error:  # reported once, however many files need the library
            return None, [Finding('error', f'files that were not looked at: {error}', 'install what is missing')]
        except CorruptImageError as error:
            return None, [_broken(str(error))]
        except Exception as error:  # broken bytes make Pillow and its plug-ins raise nearly anything
            return None, [_broken(f'{path}: {error}')]

    def _label_findings(self, pixels: Counter) -> list[Finding]:
        """Report what the labels of all masks together show."""
        ignored, zero_is_none = self.labels.ignored, self.labels.zero_is_none
        findings = [ONLY_IGNORED] if set(pixels) == {0, 255} and ignored == 255 and not zero_is_none else []
        findings += [MOSTLY_IGNORED] if self._ignored_share(pixels) > 0.5 else []
        fault = Finding('warning', f'classes of {self.labels.classes} that no pixel has', 'nothing, if intended')
        unused = [label for label in self.labels.of_classes() if label not in pixels] if self.labels.classes else []
        return findings + [fault.at(f'label {label}') for label in unused]

    def _label_counts(self, pixels: Counter) -> dict[str, int | str]:
        """Return the columns of the table about labels."""
        used = [label for label in pixels if label != self.labels.ignored]
        if not used:
            return {}
        span = f'{min(used)} to {max(used)}'
        return dict(labels=span, labels_used=len(used), ignored=f'{self._ignored_share(pixels):.1%}')

    def _ignored_share(self, pixels: Counter) -> float:
        """Return the share of mask pixels that are left out of training."""
        return (pixels[self.labels.ignored] + self.labels.zero_is_none * pixels[0]) / pixels.total()


def _broken(case: str) -> Finding:
    """Return the finding for a truncated file, or for one that is not an image."""
    return (CUT_OFF if 'truncated' in case.lower() else BROKEN).at(case)
