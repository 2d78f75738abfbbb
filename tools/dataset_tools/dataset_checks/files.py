"""Listing and opening many files, in several processes."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from multiprocessing.pool import Pool
from typing import BinaryIO, NamedTuple

from PIL import Image
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from dataset_checks.faults import BROKEN, CUT_OFF, EMPTY, MISSING
from mixmae_mm.datasets.decoding import MAX_PIXELS, open_image
from mixmae_mm.datasets.directory_walk import EXTENSIONS, files_below
from mixmae_mm.datasets.metadata import SIDEWAYS, orientation_of, upright_size, without_metadata
from mixmae_mm.datasets.transforms.load_image import CorruptImageError, LoadImage
from mixmae_mm.engine.checks.report import Fault, Finding

SPLITS = ('train', 'training', 'val', 'valid', 'validation', 'test', 'testing')


class Seen(NamedTuple):
    """What an image's header says."""

    upright: tuple[int, int]
    """(width, height) once it is turned as its EXIF data say."""
    stored: tuple[int, int]
    """(width, height) of the pixels in the file."""
    orientation: int = 1
    """Of its EXIF data, 1 to 8; 1 is upright."""


@dataclass
class Crew:
    """The processes that open files, and the bar that shows how far they are."""

    progress: Progress
    quick: bool = False
    """Whether the headers of images are enough."""
    pool: Pool | None = None

    def run(self, work: Callable, jobs: Iterable, total: int, title: str) -> Iterator:
        """Do all jobs, in order; what comes out is given one by one, so that a million images need little memory."""
        results = self.pool.imap(work, jobs, chunksize=16) if self.pool else map(work, jobs)
        yield from self.progress.track(results, total=total, description=escape(title))

    def watch(self, things: Sequence, title: str) -> Iterator:
        """Go through things in this process."""
        yield from self.progress.track(things, description=escape(title))


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


def look(path: str, quick: bool, max_pixels: int | None = MAX_PIXELS) -> tuple[Seen | None, list[Finding]]:
    """Open an image: what its header says, or None, and what is wrong."""
    if not os.path.isfile(path):
        return None, [(MISSING, path)]
    if not os.path.getsize(path):
        return None, [(EMPTY, path)]
    try:
        if not quick:
            LoadImage(max_pixels=max_pixels).transform(dict(img_path=path))
        return header(path, whole=not quick, max_pixels=max_pixels), []
    except CorruptImageError as error:
        return None, [(reading_fault(error), str(error))]
    except ImportError as error:
        return None, [(library_fault(error), '')]


def reading_fault(error: Exception) -> Fault:
    """Tell a file that ends too early from one that is something else."""
    return CUT_OFF if 'truncated' in str(error).lower() else BROKEN


def library_fault(error: ImportError) -> Fault:
    """Say which library is missing: once, whatever number of files need it."""
    return Fault('error', f'files that were not looked at: {error}', 'install what is missing and check again')


def header(
    path: str, file: BinaryIO | None = None, whole: bool = False, max_pixels: int | None = MAX_PIXELS
) -> Seen:
    """Read only what stands beside an image's pixels, in the file of that name unless one is given that is open.

    Args:
        path: The file's name.
        file: The file.
        whole: Look also for EXIF data that stand behind the pixels of a PNG file, which decodes it.
        max_pixels: As of `LoadImage`.

    Raises:
        CorruptImageError: It says nothing.
        ImportError: Pillow was built without this format.
    """
    try:
        with open(path, 'rb') if file is None else nullcontext(file) as opened:
            image = _open(opened, max_pixels)
            orientation = orientation_of(image) if whole or image.format != 'PNG' else 1
            upright = upright_size(image, orientation)
            return Seen(upright, upright[::-1] if orientation >= SIDEWAYS else upright, orientation)
    except ImportError:
        raise
    except Exception as error:  # broken bytes make Pillow and its plug-ins raise nearly anything
        raise CorruptImageError(f'{path}: {error}') from error


def _open(file: BinaryIO, max_pixels: int | None) -> Image.Image:
    """Open an image, without its metadata if they are broken."""
    try:
        return open_image(file, max_pixels)
    except Exception:
        file.seek(0)
        return open_image(without_metadata(file.read()), max_pixels)


def extension(path: str) -> str:
    """Return the ending in lower case."""
    return os.path.splitext(path)[1].lower()


def is_image(path: str) -> bool:
    """Tell by the extension."""
    return extension(path) in EXTENSIONS


def images_below(folder: str) -> Iterator[str]:
    """List the images at any depth, as `ImageFolder` does."""
    return filter(is_image, files_below(folder))
