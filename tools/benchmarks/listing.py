"""Startup time and memory of a dataset of many images, compared with mmengine's ways to store the list.

    python tools/benchmarks/listing.py [--num-images 1300000] [--folders 1000] [--workers 0 2 8]

A tree of empty files is made in a temporary folder. Memory is what the process and its loader workers hold together
(PSS: a page shared by three counts a third for each) after each has read random entries.
"""

import argparse
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import active_children, get_context
from pathlib import Path

from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

import numpy as np
from mmengine.dataset import BaseDataset
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, Dataset

from mixmae_mm.datasets import ImageFolder

ITEMS, TOUCHED = 20, 15_000  # items per worker, and entries that each item reads


class Walked(BaseDataset):
    """Images, listed as a user of mmengine would do."""

    def load_data_list(self) -> list[dict]:
        """Walk the tree."""
        walk = sorted(os.walk(self.data_root))
        return [dict(img_path=os.path.join(folder, name)) for folder, _, names in walk for name in sorted(names)]


class Touching(Dataset):
    """Items that each read many random entries of a dataset."""

    def __init__(self, dataset: BaseDataset, items: int) -> None:
        self.dataset, self.items = dataset, items

    def __len__(self) -> int:
        """Count the items."""
        return self.items

    def __getitem__(self, item: int) -> int:
        """Return the number of characters read."""
        chosen = np.random.default_rng(item).integers(len(self.dataset), size=TOUCHED)
        return sum(len(self.dataset.get_data_info(int(index))['img_path']) for index in chosen)


DATASETS = {
    'ImageFolder': lambda root: ImageFolder(root),
    'BaseDataset, list of dicts': lambda root: Walked(data_root=root, serialize_data=False),
    'BaseDataset, serialized': lambda root: Walked(data_root=root, serialize_data=True),
}


def measure(name: str, root: str, workers: int) -> tuple[float, float]:
    """Build a dataset and read from it; return the seconds to build it, and the MB held."""
    start = time.perf_counter()
    dataset = DATASETS[name](root)
    seconds = time.perf_counter() - start
    items = Touching(dataset, max(workers, 1) * ITEMS)
    for _ in DataLoader(items, num_workers=workers, persistent_workers=workers > 0):
        pass
    processes = [os.getpid(), *(worker.pid for worker in active_children())]
    lines = [line for one in processes for line in Path(f'/proc/{one}/smaps_rollup').read_text().splitlines()]
    return seconds, sum(int(line.split()[1]) / 1000 for line in lines if line.startswith('Pss:'))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--num-images', type=int, default=1_300_000)
    parser.add_argument('--folders', type=int, default=1000)
    parser.add_argument('--workers', type=int, nargs='+', default=[0, 2, 8], help='numbers of loader workers')
    args = parser.parse_args()
    table = Table('dataset', 'start-up, s', *(f'MB, {workers} workers' for workers in args.workers))
    with tempfile.TemporaryDirectory() as root:
        for part in range(args.folders):
            os.mkdir(f'{root}/n{part:08d}')
            for number in range(part, args.num_images, args.folders):
                Path(f'{root}/n{part:08d}/n{part:08d}_{number:08d}.JPEG').touch()
        for name in DATASETS:
            found = []
            for workers in args.workers:
                with ProcessPoolExecutor(1, get_context('spawn')) as apart:  # without this process's memory
                    found.append(apart.submit(measure, name, root, workers).result())
            table.add_row(name, f'{found[0][0]:.2f}', *(f'{held:.0f}' for _, held in found))
    Console(width=120).print(table)


if __name__ == '__main__':
    main()
