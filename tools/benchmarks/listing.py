"""Start-up and memory of a dataset of many images, with ours and with mmengine's ways to hold the list.

    python tools/benchmarks/listing.py [--images 1300000] [--folders 1000] [--workers 0 2 8] [--touched 300000]
    python tools/benchmarks/listing.py --images 14000000 --without-files

A tree of empty files is made in a temporary folder and removed afterwards; without files, only the file that our
listing is cached in is made, and nothing beside ours is measured. Memory is what the process and its loader workers
hold together (PSS: a page that three share counts a third for each), after each has looked at random entries, beyond
what they hold for a dataset of one image. The kernel knows the tree when it is listed; a disk's first listing takes
as long as the disk needs.
"""

import argparse
import contextlib
import io
import itertools
import multiprocessing
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import mixmae_mm
from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, Dataset

from mixmae_mm.datasets import ImageFolder
from mixmae_mm.datasets.file_list import Listing, cache_file, keep, list_anew

ITEMS = 20  # that a worker makes, each from many entries


class Walked(BaseDataset):
    """Images as a user would list them for mmengine."""

    def load_data_list(self) -> list[dict]:
        """Walk the tree."""
        return [
            dict(img_path=os.path.join(folder, name))
            for folder, _, names in sorted(os.walk(self.data_root))
            for name in sorted(names)
            if name.lower().endswith(('.jpg', '.jpeg', '.png'))
        ]


class One(BaseDataset):
    """A dataset of one image, for what processes hold without a list."""

    def load_data_list(self) -> list[dict]:
        """Name no file."""
        return [dict(img_path='a.jpg')]


class Touching(Dataset):
    """Items that read many random entries of a dataset.

    Args:
        dataset: whose entries.
        items: how many items.
        entries: how many entries an item reads.
    """

    def __init__(self, dataset: BaseDataset, items: int, entries: int) -> None:
        self.dataset, self.items, self.entries = dataset, items, entries

    def __len__(self) -> int:
        """Count the items."""
        return self.items

    def __getitem__(self, item: int) -> int:
        """Return the number of characters read."""
        chosen = np.random.default_rng(item).integers(len(self.dataset), size=self.entries)
        return sum(len(self.dataset.get_data_info(int(index))['img_path']) for index in chosen)


def datasets(root: str, cache: str) -> dict[str, Callable[[], BaseDataset]]:
    """Return what builds each contender; the first holds nothing, the second writes the file that the third reads."""
    return {
        'one image': lambda: One(data_root=root),
        'ImageFolder, first start': lambda: ImageFolder(root, cache=cache),
        'ImageFolder, next start': lambda: ImageFolder(root, cache=cache),
        'BaseDataset, list of dicts': lambda: Walked(data_root=root, serialize_data=False),
        'BaseDataset, serialized': lambda: Walked(data_root=root, serialize_data=True),
    }


def measure(name: str, root: str, cache: str, workers: int, touched: int) -> dict[str, float]:
    """Build a dataset and read from it; give the seconds to build it, the most MB that added, and MB held."""
    Path('/proc/self/clear_refs').write_text('5')  # sets the peak back to what is in use
    before = megabytes('status', 'VmRSS')
    with contextlib.redirect_stdout(io.StringIO()):
        start = time.perf_counter()
        dataset = datasets(root, cache)[name]()
        seconds = time.perf_counter() - start
    peak = megabytes('status', 'VmHWM') - before
    items = Touching(dataset, max(workers, 1) * ITEMS, touched // ITEMS)
    warnings.filterwarnings('ignore', 'This DataLoader will create')  # more workers than cores are meant
    loader = DataLoader(items, batch_size=1, num_workers=workers, persistent_workers=workers > 0)
    for _ in loader:
        pass
    processes = [os.getpid(), *(worker.pid for worker in multiprocessing.active_children())]
    assert len(processes) == 1 + workers
    held = sum(megabytes('smaps_rollup', 'Pss', process) for process in processes)
    return dict(seconds=seconds, peak=peak, held=held)


def megabytes(file: str, field: str, process: int | str = 'self') -> float:
    """Read what Linux keeps about the memory of a process."""
    lines = Path(f'/proc/{process}/{file}').read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(f'{field}:'))


def apart(*args: object) -> dict[str, float]:
    """Measure in a process of its own, with nothing of this one's memory."""
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        return executor.submit(measure, *args).result()


def check_room(folder: str, files: int, size: int) -> None:
    """Refuse to fill a disk.

    Raises:
        ValueError: there is less than twice the room needed.
    """
    disk = os.statvfs(folder)
    if disk.f_files and disk.f_favail < 2 * files:
        raise ValueError(f'{folder} has room for {disk.f_favail:,} files, twice {files:,} are asked for: set TMPDIR')
    if disk.f_bavail * disk.f_frsize < 2 * size:
        raise ValueError(f'{folder} has {disk.f_bavail * disk.f_frsize:,} free bytes, not twice {size:,}: set TMPDIR')


def name_files(images: int, folders: int) -> list[tuple[str, list[str]]]:
    """Name folders, and files in each, much like those of ImageNet."""
    parts = np.array_split(np.arange(images), folders)
    return [(f'n{i:08d}', [f'n{i:08d}_{number:08d}.JPEG' for number in part]) for i, part in enumerate(parts)]


def make_files(root: str, images: int, folders: int) -> None:
    """Make a tree of empty files."""
    for folder, names in name_files(images, folders):
        os.mkdir(os.path.join(root, folder))
        for name in names:
            os.close(os.open(os.path.join(root, folder, name), os.O_CREAT | os.O_WRONLY))


def make_listing(root: str, cache: str, images: int, folders: int) -> None:
    """Make the file of a listing, and one real file, so that the folder's times are right."""
    Path(root, 'a.jpg').touch()
    time.sleep(2.5)  # a folder that has just changed is listed anew
    _, stamps = list_anew(root)
    paths = bytearray()
    for folder, names in name_files(images, folders):
        paths += ''.join(f'train/{folder}/{name}\0' for name in names).encode()
    paths = np.frombuffer(paths, np.uint8)
    starts = np.concatenate([[0], np.flatnonzero(paths == 0) + 1])
    keep(Listing(root, paths, starts), stamps, cache_file(root, cache))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', type=int, default=1_300_000)
    parser.add_argument('--folders', type=int, default=1000)
    parser.add_argument('--workers', type=int, nargs='+', default=[0, 2, 8], help='numbers of loader workers')
    parser.add_argument('--touched', type=int, default=300_000, help='entries that each worker reads')
    parser.add_argument('--without-files', action='store_true', help='make the cached listing only')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, cache = os.path.join(folder, 'images'), os.path.join(folder, 'cache')
        os.mkdir(root)
        check_room(folder, 0 if args.without_files else args.images + args.folders, 100 * args.images)
        names = list(datasets(root, cache))
        if args.without_files:
            make_listing(root, cache, args.images, args.folders)
            names = [names[0], names[2]]
        else:
            make_files(root, args.images, args.folders)
            time.sleep(2.5)  # a folder that has just changed is listed anew
        results = {name: [] for name in names}
        for name, workers in itertools.product(names, args.workers):
            if name.endswith('first start'):
                shutil.rmtree(cache, ignore_errors=True)
            results[name].append(apart(name, root, cache, workers, args.touched))
        Console(width=120).print(table(results, args))
    print(f'mixmae_mm {mixmae_mm.__version__}, torch {torch.__version__}, {os.cpu_count()} cores')


def table(results: dict[str, list[dict[str, float]]], args: argparse.Namespace) -> Table:
    """Lay out what was measured; seconds and peak are those of the first number of workers."""
    held = [f'MB, {workers} workers' for workers in args.workers]
    title = f'{args.images:,} images, {args.touched:,} entries read by each worker'
    table = Table('dataset', 'start-up, s', 'added at most, MB', *held, title=title)
    base, *rest = results
    for name in rest:
        pairs = zip(results[name], results[base], strict=True)
        more = [f'{one["held"] - nothing["held"]:.0f}' for one, nothing in pairs]
        first = results[name][0]
        table.add_row(name, f'{first["seconds"]:.2f}', f'{first["peak"]:.0f}', *more)
    alone = [f'({result["held"]:.0f})' for result in results[base]]
    table.add_row(f'({base}: all memory)', '', '', *alone)
    return table


if __name__ == '__main__':
    main()
