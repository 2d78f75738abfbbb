"""Images a second a core that the pre-training pipeline makes of a folder, ours beside mmpretrain's.

    python tools/benchmarks/loading.py data/coco_mini_448/images [--size 224] [--repeats 5] [--images 500]

Decode, random resized crop (20 to 100 % of the area), flip, pack: in this process, with one thread, files in the page
cache. The two take turns; medians are printed.
"""

import argparse
import statistics
import time

import mixmae_mm
from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

import cv2
import torch
from measuring import in_turns, ratio
from mmengine.dataset import Compose
from mmengine.registry import TRANSFORMS, init_default_scope
from rich.console import Console
from rich.table import Table

from mixmae_mm.datasets import ImageFolder

CROP = dict(crop_ratio_range=(0.2, 1.0))
REST = [dict(type='mmpretrain.RandomFlip', prob=0.5), dict(type='mmpretrain.PackInputs')]


def pipelines(size: int) -> dict[str, list[dict]]:
    """Return the steps of each contender, the one first that the others are measured by."""
    whole = dict(type='mmpretrain.RandomResizedCrop', scale=size, backend='pillow', interpolation='bicubic', **CROP)
    return {
        'mmpretrain': [dict(type='mmpretrain.LoadImageFromFile'), whole, *REST],
        'ours': [dict(type='mixmae_mm.LoadRandomResizedCrop', scale=size, **CROP), *REST],
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', help='of images, at any depth')
    parser.add_argument('--size', type=int, default=224)
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--images', type=int, default=500, help='how many of the folder, at most')
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    init_default_scope('mmpretrain')
    files = [image['img_path'] for image in ImageFolder(args.folder).load_data_list()][: args.images]

    def seconds(pipeline: Compose) -> float:
        start = time.perf_counter()
        for path in files:
            pipeline(dict(img_path=path))
        return time.perf_counter() - start

    built = {name: Compose([TRANSFORMS.build(step) for step in steps]) for name, steps in pipelines(args.size).items()}
    calls = {name: lambda pipeline=pipeline: seconds(pipeline) for name, pipeline in built.items()}
    times = in_turns(calls, args.repeats)
    table = Table('pipeline', 'images/s', 'times as fast', title=f'{len(files)} images at {args.size} px, one core')
    for name, of_name in times.items():
        speed = len(files) / statistics.median(of_name)
        table.add_row(name, f'{speed:.0f}', f'{1 / ratio(of_name, times["mmpretrain"]):.2f}')
    Console(width=120).print(table)
    print(f'mixmae_mm {mixmae_mm.__version__}, torch {torch.__version__}, OpenCV {cv2.__version__}')


if __name__ == '__main__':
    main()
