"""Images that cannot be read: counted for all loader workers, and listed in a file for all processes of a run."""

import fcntl
import logging
import os
from contextlib import suppress
from typing import BinaryIO

import torch
from mmengine.logging import print_log

LONGEST_PATH = 4096  # bytes, of Linux


class CorruptImageList:
    """A file with one line for each image that cannot be read: its path, a tab, and the reason.

    Any number of processes may add to it at once, and again after a resume: each reads on from where it stopped, under
    a lock, before it adds, so that every image stands there once.

    Args:
        file: The file; made with the first image.
    """

    def __init__(self, file: str) -> None:
        self.file, self.position = file, 0
        self.paths: set[bytes] = set()
        self.counts: dict[bytes, int] = {}

    def add(self, path: str, reason: str) -> None:
        """Add an image, if it is not there.

        Raises:
            OSError: the file cannot be written.
        """
        name = _in_one_line(path)
        with open(self.file, 'ab+', buffering=0) as file:
            with suppress(OSError):  # some network file systems have no locks: an image may then stand there twice
                fcntl.flock(file, fcntl.LOCK_EX)
            torn = self._read_on(file)
            if name not in self.paths:
                file.write(b'\n' * torn + name + b'\t' + _in_one_line(reason) + b'\n')
                self._read_on(file)

    def _read_on(self, file: BinaryIO) -> bool:
        """Read what others have added; return whether one of them was killed in the middle of a line."""
        if os.fstat(file.fileno()).st_size < self.position:  # begun anew
            self.position, self.paths, self.counts = 0, set(), {}
        file.seek(self.position)
        added = file.read()
        whole = added[: added.rfind(b'\n') + 1]
        self.position += len(whole)
        lines = {line.partition(b'\t')[0] for line in whole.split(b'\n') if b'\t' in line} - self.paths
        self.paths |= lines
        for start in self.counts:
            self.counts[start] += _below(lines, start)
        return len(whole) < len(added)

    def count(self, root: str) -> int:
        """Count the listed images below a folder (or in an archive): all when first asked, then those added."""
        start = os.path.join(_in_one_line(root), b'')
        if start not in self.counts:
            self.counts[start] = _below(self.paths, start)
        return self.counts[start]

    def first(self, root: str, number: int = 3) -> list[str]:
        """Return the first lines about images below a folder, as `path: reason`."""
        start, found = os.path.join(_in_one_line(root), b''), []
        with suppress(OSError), open(self.file, 'rb') as file:
            for line in file:
                if line.startswith(start) and b'\t' in line and len(found) < number:
                    found.append(os.fsdecode(line.rstrip(b'\n').replace(b'\t', b': ', 1)))
        return found


class CorruptImageCount:
    """Which images of a dataset were found corrupt: known to the process and its loader workers.

    The file to list them in may be set after the workers were started: its path is in memory that they share.

    Args:
        num_images: Images of the dataset.
    """

    def __init__(self, num_images: int) -> None:
        # One flag an image, in memory that the loader's workers share: a count without locks or lost updates.
        self.flags = torch.zeros(num_images, dtype=torch.bool).share_memory_()
        self.place = torch.zeros(LONGEST_PATH, dtype=torch.uint8).share_memory_()
        self.listed: CorruptImageList | None = None
        self.waiting: list[tuple[str, str]] = []
        self.lost = 0

    def __deepcopy__(self, memo: dict) -> 'CorruptImageCount':
        """Begin anew, as a subset numbers its images anew."""
        return CorruptImageCount(len(self.flags))

    def list_in(self, file: str) -> None:
        """Set the file for all workers, before or after they start.

        Raises:
            ValueError: the path is too long.
        """
        path = os.fsencode(os.path.abspath(file))
        if len(path) >= LONGEST_PATH:
            raise ValueError(f'a path of {len(path)} bytes is too long, {LONGEST_PATH - 1} are allowed: {file}')
        self.place[1:] = 0
        self.place[1 : len(path)] = torch.frombuffer(bytearray(path), dtype=torch.uint8)[1:]
        self.place[0] = path[0]  # last: with it the path is there

    @property
    def file(self) -> str | None:
        """The file of the list; None if there is none yet."""
        return os.fsdecode(bytes(self.place.numpy()).rstrip(b'\0')) if self.place[0] else None

    def note(self, index: int, path: str, reason: str, root: str) -> int:
        """Record an image; return how many below `root` are corrupt, as far as this process knows."""
        self.flags[index] = True
        self.waiting.append((path, reason))
        self.write()
        return self.listed.count(root) + self.lost if self.listed else int(self.flags.sum())

    def write(self) -> None:
        """Write to the list what waits for it, as soon as its place is known; failing to write it is not an error."""
        if not self.waiting or self.file is None:
            return
        self.listed = self.listed or CorruptImageList(self.file)
        try:
            for path, reason in self.waiting:
                self.listed.add(path, reason)
        except OSError as error:
            self.lost += len(self.waiting)
            text = f'corrupt images cannot be listed in {self.file}: {error.strerror}'
            print_log(text, logger='current', level=logging.WARNING)
        self.waiting.clear()


def _below(paths: set[bytes], start: bytes) -> int:
    """Count the paths below a folder."""
    return sum(path.startswith(start) for path in paths)


def _in_one_line(text: str) -> bytes:
    r"""Return the bytes of a path or a reason, with `\n` and `\t` spelled out."""
    return os.fsencode(text.replace('\n', r'\n').replace('\t', r'\t'))
