"""Make the built-in image set: scenes of overlapping shapes, so that every task can be tried with nothing downloaded.

Each scene has a textured background and 1 to 5 objects of ten classes. Exactly one, the main object, is clearly the
largest thing to be seen; it names the scene. Colors, positions and sizes are drawn without regard to the class, and
all shapes of one size have the same area, so only the outline tells the classes apart.

    python tools/dataset_tools/make_shapes.py data/shapes
    python tools/dataset_tools/make_shapes.py data/shapes224 --size 224 --train 1000 --val 200

It is read by three libraries:

    train/<class>/000001.jpg   val/<class>/...      mmpretrain.CustomDataset, torchvision's ImageFolder
    annotations/instances_{train,val}.json          mmdet.CocoDataset (categories 1 to 10, in alphabetical order)
    masks/{train,val}/<class>/000001.png            mmseg.BaseSegDataset (0 background, 1 to 10 the categories)

The same seed gives the same bytes, whatever the number of workers.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import shutil
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from rich.progress import track
from shapes.outlines import CLASSES
from shapes.scenes import draw_scene

SPLITS = ('train', 'val')
GENERATOR = 2  # to be raised whenever the images change, so that an older set is not taken for a present one


@dataclass(frozen=True)
class Settings:
    """All that decides what the set looks like."""

    train: int = 3000
    val: int = 600
    size: int = 64
    seed: int = 0
    generator: int = GENERATOR

    def __post_init__(self) -> None:
        """Check the numbers before anything is written."""
        if min(self.train, self.val) < len(CLASSES) or not 32 <= self.size <= 1024 or self.seed < 0:
            raise ValueError(
                f'train {self.train}, val {self.val}, size {self.size}, seed {self.seed}: needed are at least '
                f'{len(CLASSES)} images in each split, a size of 32 to 1024 px and a seed of at least 0'
            )


def _palette() -> list[int]:
    """Return the colors in which viewers show the index masks: black, then ten hues."""
    hues = np.float32([[(36 * i, 0.75, 0.95) for i in range(len(CLASSES))]])
    return [0, 0, 0, *np.round(cv2.cvtColor(hues, cv2.COLOR_HSV2RGB) * 255).astype(int).ravel().tolist()]


def _write_scene(job: tuple[int, int], out: Path, settings: Settings) -> tuple[str, list[dict]]:
    """Draw scene (split, index) and write image and mask; return the image's name and its objects."""
    cv2.setNumThreads(0)  # one thread a worker: the workers share the cores already
    split, index = job
    scene = draw_scene(settings.seed, split, index, settings.size)
    name = f'{scene.main}/{index + 1:06d}'
    Image.fromarray(scene.image).save(out / SPLITS[split] / f'{name}.jpg', quality=95, subsampling=0)
    mask = Image.fromarray(scene.mask)
    mask.putpalette(_palette())
    mask.save(out / 'masks' / SPLITS[split] / f'{name}.png')
    return f'{name}.jpg', scene.objects


def _coco(scenes: list[tuple[str, list[dict]]], size: int) -> dict:
    """Return the scenes of one split as COCO instances."""
    images = [dict(id=i, file_name=name, width=size, height=size) for i, (name, _) in enumerate(scenes, 1)]
    objects = [(i, one) for i, (_, found) in enumerate(scenes, 1) for one in found]
    return dict(
        info=dict(description='shapes made by make_shapes.py'),
        images=images,
        annotations=[dict(id=number, image_id=i, **one) for number, (i, one) in enumerate(objects, 1)],
        categories=[dict(id=i, name=name, supercategory='shape') for i, name in enumerate(CLASSES, 1)],
    )


def make_shapes(out: str | Path, settings: Settings, workers: int = 1) -> bool:
    """Write the set, unless the same one is there already; return whether anything was written.

    It is made beside the folder and moved there once it is complete. A folder of other things raises ValueError.
    """
    out = Path(out)
    complete = out / 'complete.json'
    if complete.is_file() and json.loads(complete.read_text()) == asdict(settings):
        return False
    if out.is_file() or (out.exists() and any(out.iterdir())):
        made = f', a set made with {complete.read_text()}' if complete.is_file() else ''
        raise ValueError(f'{out} holds other things{made}: a new or empty folder is needed')
    making = out.with_name(f'.{out.name}.making')
    shutil.rmtree(making, ignore_errors=True)
    for base, split, name in itertools.product(('', 'masks'), SPLITS, CLASSES):
        (making / base / split / name).mkdir(parents=True)
    (making / 'annotations').mkdir()
    jobs = [(split, index) for split, name in enumerate(SPLITS) for index in range(getattr(settings, name))]
    with multiprocessing.Pool(workers) as pool:
        written = pool.imap(partial(_write_scene, out=making, settings=settings), jobs, chunksize=16)
        scenes = list(track(written, 'drawing shapes', len(jobs)))
    for split, part in zip(SPLITS, (scenes[: settings.train], scenes[settings.train :]), strict=True):
        (making / 'annotations' / f'instances_{split}.json').write_text(json.dumps(_coco(part, settings.size)))
    (making / complete.name).write_text(json.dumps(asdict(settings)))
    making.replace(out)
    return True


def main(arguments: list[str] | None = None) -> None:
    """Run from the command line; a mistake in the arguments ends it with one line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('out', type=Path, help='folder to make')
    for name, default in (('train', 3000), ('val', 600), ('size', 64), ('seed', 0), ('workers', os.cpu_count())):
        parser.add_argument(f'--{name}', type=int, default=default, help='(%(default)s)')
    args = parser.parse_args(arguments)
    try:
        made = make_shapes(args.out, Settings(args.train, args.val, args.size, args.seed), args.workers)
    except (ValueError, OSError) as error:
        raise SystemExit(f'make_shapes: {error}') from error
    print(f'{args.out}: {args.train} + {args.val} scenes, {"made" if made else "already there"}')


if __name__ == '__main__':
    main()
