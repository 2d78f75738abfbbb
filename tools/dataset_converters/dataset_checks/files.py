"""Listing and opening many files, in several processes."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.pool import Pool
from typing import BinaryIO

from PIL import Image
from rich.console import Console
from rich.progress import Progress

from dataset_checks.faults import BROKEN, CUT_OFF, EMPTY, MISSING
from mixmae_mm.checks.report import Fault, Finding
from mixmae_mm.datasets.loading import LoadPicture, UnreadablePictureError
from mixmae_mm.datasets.walking import ENDINGS, files_below

SPLITS = ('train', 'training', 'val', 'valid', 'validation', 'test', 'testing')
ORIENTATION = 0x0112
TURNED = 5  # from this EXIF orientation on, width and height are exchanged


@dataclass
class Crew:
    """The processes that open files, and the bar that shows how far they are."""

    progress: Progress
    quick: bool = False
    """Whether the headers of pictures are enough."""
    pool: Pool | None = None

    def run(self, work: Callable, jobs: Iterable, total: int, title: str) -> Iterator:
        """Do all jobs, in order; what comes out is given one by one, so that a million pictures need little memory."""
        results = self.pool.imap(work, jobs, chunksize=16) if self.pool else map(work, jobs)
        yield from self.progress.track(results, total=total, description=title)

    def watch(self, things: Sequence, title: str) -> Iterator:
        """Go through things in this process."""
        yield from self.progress.track(things, description=title)


@contextmanager
def start_crew(workers: int, quick: bool) -> Iterator[Crew]:
    """Start the processes before any large file is read, and end them."""
    console = Console(stderr=True)
    pool = multiprocessing.Pool(workers, _leave_interrupts) if workers > 1 else None
    try:
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            yield Crew(progress, quick, pool)
    finally:
        if pool:
            pool.terminate()


def _leave_interrupts() -> None:
    """Let only the first process answer Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def look(path: str, quick: bool) -> tuple[tuple[int, int] | None, list[Finding]]:
    """Open a picture: its (width, height) as it stands upright, or None, and what is wrong."""
    if not os.path.isfile(path):
        return None, [(MISSING, path)]
    if not os.path.getsize(path):
        return None, [(EMPTY, path)]
    try:
        return (header(path) if quick else _decode(path)), []
    except UnreadablePictureError as error:
        return None, [(reading_fault(error), str(error))]


def reading_fault(error: Exception) -> Fault:
    """Tell a file that ends too early from one that is something else."""
    return CUT_OFF if 'truncated' in str(error).lower() else BROKEN


def _decode(path: str) -> tuple[int, int]:
    """Read a picture as our loading does."""
    height, width = LoadPicture().transform(dict(img_path=path))['img_shape']
    return width, height


def header(path: str, file: BinaryIO | None = None) -> tuple[int, int]:
    """Read only where a picture's size stands, in the file of that name unless one is given that is open.

    Raises:
        UnreadablePictureError: it stands nowhere.
    """
    try:
        with Image.open(path if file is None else file) as picture:
            # A PNG file's EXIF data may stand behind its pixels, which Pillow would then decode.
            turned = picture.format != 'PNG' and picture.getexif().get(ORIENTATION, 1) >= TURNED
            return picture.size[::-1] if turned else picture.size
    except Exception as error:  # broken bytes make Pillow and its plug-ins raise nearly anything
        raise UnreadablePictureError(f'{path}: {error}') from error


def ending(path: str) -> str:
    """Give the ending in lower case."""
    return os.path.splitext(path)[1].lower()


def is_picture(path: str) -> bool:
    """Tell by the ending."""
    return ending(path) in ENDINGS


def pictures_below(folder: str) -> Iterator[str]:
    """List the pictures at any depth, as `PictureFolder` does."""
    return filter(is_picture, files_below(folder))
