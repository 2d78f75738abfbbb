"""Make the built-in image set: fourteen procedural materials, so that every task can be tried without a download.

Each scene is named after the material that fills it: brick, fur, granite, ... Up to two patches of other materials lie
on it. Colors, scale, rotation and light are drawn independently of the material, and histograms are leveled, so that a
material can be recognized only by its texture, not by its colors.

    python tools/dataset_tools/make_materials.py data/materials
    python tools/dataset_tools/make_materials.py data/materials224 --image-size 224 --train 1000 --val 200

It is read by three libraries:

    train/<class>/000001.jpg   val/<class>/...      mmpretrain.CustomDataset, torchvision's ImageFolder
    annotations/instances_{train,val}.json          mmdet.CocoDataset (the patches; categories 1 to 14, alphabetical)
    annotations/patches_{train,val}.json            the same with one category, patch
    masks/{train,val}/<class>/000001.png            mmseg.BaseSegDataset (0 to 13, the material of each pixel)

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
from materials.scenes import draw_scene
from materials.surfaces import CLASSES
from PIL import Image
from rich.progress import track

from mixmae_mm.utils.arguments import expanded

SPLITS = ('train', 'val')
GENERATOR = 2  # increase it whenever the set changes, so that an older set is not mistaken for the current one


@dataclass(frozen=True)
class Settings:
    """Everything that determines what the set looks like."""

    train: int = 2800
    val: int = 1400
    size: int = 64
    seed: int = 0
    generator: int = GENERATOR

    def __post_init__(self) -> None:
        """Check the numbers before anything is written."""
        if min(self.train, self.val) < len(CLASSES) or not 32 <= self.size <= 1024 or self.seed < 0:
            raise ValueError(
                f'train {self.train}, val {self.val}, size {self.size}, seed {self.seed}: at least '
                f'{len(CLASSES)} images are needed in each split, a size of 32 to 1024 px and a seed of at least 0'
            )


def _palette() -> list[int]:
    """Return the colors in which viewers show the index masks: eight hues, each light and dark."""
    hues = np.float32([[(45 * (i // 2), 0.75, 0.95 - 0.4 * (i % 2)) for i in range(len(CLASSES))]])
    return np.round(cv2.cvtColor(hues, cv2.COLOR_HSV2RGB) * 255).astype(int).ravel().tolist()


def _write_scene(job: tuple[int, int], out: Path, settings: Settings) -> tuple[str, list[dict]]:
    """Draw scene (split, index) and write image and mask; return the image's name and its objects."""
    cv2.setNumThreads(0)  # one thread per worker: the workers share the cores already
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
        info=dict(description='materials made by make_materials.py'),
        images=images,
        annotations=[dict(id=number, image_id=i, **one) for number, (i, one) in enumerate(objects, 1)],
        categories=[dict(id=i, name=name, supercategory='material') for i, name in enumerate(CLASSES, 1)],
    )


def _of_one_category(coco: dict, name: str) -> dict:
    """Return COCO instances whose objects are all of one category."""
    objects = [{**one, 'category_id': 1} for one in coco['annotations']]
    return coco | dict(annotations=objects, categories=[dict(id=1, name=name, supercategory='material')])


def make_materials(out: str | Path, settings: Settings, workers: int = 1) -> bool:
    """Write the set, unless the same one exists already; return whether anything was written.

    It is made in a folder beside `out`, which is renamed once complete. Raise ValueError if `out` holds anything else.
    """
    out = Path(out)
    complete = out / 'complete.json'
    if complete.is_file() and json.loads(complete.read_text()) == asdict(settings):
        return False
    if out.is_file() or (out.exists() and any(out.iterdir())):
        made = f', a set made with {complete.read_text()}' if complete.is_file() else ''
        raise ValueError(f'{out} is not empty{made}: use a new or empty folder')
    making = out.with_name(f'.{out.name}.making')
    shutil.rmtree(making, ignore_errors=True)
    for base, split, name in itertools.product(('', 'masks'), SPLITS, CLASSES):
        (making / base / split / name).mkdir(parents=True)
    (making / 'annotations').mkdir()
    jobs = [(split, index) for split, name in enumerate(SPLITS) for index in range(getattr(settings, name))]
    with multiprocessing.Pool(workers) as pool:
        written = pool.imap(partial(_write_scene, out=making, settings=settings), jobs, chunksize=16)
        scenes = list(track(written, 'drawing materials', len(jobs)))
    for split, part in zip(SPLITS, (scenes[: settings.train], scenes[settings.train :]), strict=True):
        coco = _coco(part, settings.size)
        for kind, content in dict(instances=coco, patches=_of_one_category(coco, 'patch')).items():
            (making / 'annotations' / f'{kind}_{split}.json').write_text(json.dumps(content))
    (making / complete.name).write_text(json.dumps(asdict(settings)))
    making.replace(out)
    return True


def main(arguments: list[str] | None = None) -> None:
    """Run from the command line; exit with a one-line message if the arguments are invalid."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('out', type=expanded, help='folder to make')
    for name, default in (('train', 2800), ('val', 1400), ('image-size', 64), ('seed', 0), ('workers', os.cpu_count())):
        parser.add_argument(f'--{name}', type=int, default=default, help='(%(default)s)')
    args = parser.parse_args(arguments)
    try:
        made = make_materials(args.out, Settings(args.train, args.val, args.image_size, args.seed), args.workers)
    except (ValueError, OSError) as error:
        raise SystemExit(f'make_materials: {error}') from error
    print(f'{args.out}: {args.train} + {args.val} scenes, {"made" if made else "already there"}')


if __name__ == '__main__':
    main()
