"""Images/s per core of the pre-training pipeline on a folder, ours and mmpretrain's.

    python tools/benchmarks/loading.py data/coco_mini_448/images [--image-size 224] [--repeats 5] [--num-images 500]

Decode, random resized crop (20 to 100 % of the area), flip, pack: in this process, with one thread, in turns; medians.
"""

import argparse
import statistics
import time
from functools import partial

from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

import cv2
import torch
from measuring import in_turns
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope

from mixmae_mm.datasets import ImageFolder
from mixmae_mm.utils.names import expand

CROP = dict(crop_ratio_range=(0.2, 1.0))
REST = [dict(type='mmpretrain.RandomFlip', prob=0.5), dict(type='mmpretrain.PackInputs')]


def seconds(pipeline: Compose, files: list[str]) -> float:
    """Read the files; return the seconds."""
    start = time.perf_counter()
    for path in files:
        pipeline(dict(img_path=path))
    return time.perf_counter() - start


def main() -> None:
    """Print the images/s of each pipeline."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=expand, help='of images, at any depth')
    parser.add_argument('--image-size', type=int, default=224, help='side of the crops in pixels (%(default)s)')
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--num-images', type=int, default=500, help='images of the folder, at most (%(default)s)')
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    init_default_scope('mmpretrain')
    files = [image['img_path'] for image in ImageFolder(args.folder).data_list[: args.num_images]]
    whole = dict(type='RandomResizedCrop', scale=args.image_size, backend='pillow', interpolation='bicubic', **CROP)
    pipelines = {
        'mmpretrain': [dict(type='LoadImageFromFile'), whole, *REST],
        'ours': [dict(type='mixmae_mm.LoadRandomResizedCrop', scale=args.image_size, **CROP), *REST],
    }
    calls = {name: partial(seconds, Compose(steps), files) for name, steps in pipelines.items()}
    for name, times in in_turns(calls, args.repeats).items():
        print(f'{name}: {len(files) / statistics.median(times):.0f} images/s')


if __name__ == '__main__':
    main()
