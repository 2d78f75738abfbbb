"""Render the instances of a COCO dataset as masks of their classes, for the dense probe of `mixmae evaluate`.

    python projects/studies/tools/render_masks.py data/nuclei_dsb2018 data/nuclei_masks

For each of train.json and val.json in the first folder, the second gets img/SPLIT, links to the images, and
ann/SPLIT, PNG masks in which 0 is background and 1, 2, ... are the categories in the order of their ids.
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools.coco import COCO

from mixmae_mm.utils.arguments import expanded
from mixmae_mm.utils.errors import readable_errors

IGNORED = 255
"""The class that the dense probe ignores."""


def render(coco: COCO, image: dict, classes: dict[int, int]) -> np.ndarray:
    """Return the mask (H, W), uint8, of an image; where instances overlap, the last one counts."""
    mask = np.zeros((image['height'], image['width']), np.uint8)
    for instance in coco.imgToAnns[image['id']]:
        mask[coco.annToMask(instance) == 1] = classes[instance['category_id']]
    return mask


def read(source: Path, split: str) -> tuple[COCO, dict[int, int]]:
    """Read a split and number its categories; raise ValueError if masks cannot show it."""
    coco = COCO(source / f'{split}.json')
    classes = {category: number for number, category in enumerate(sorted(coco.cats), start=1)}
    if len(classes) >= IGNORED:
        raise ValueError(f'{split}.json has {len(classes)} categories, but masks have at most {IGNORED - 1}')
    names = Counter(Path(image['file_name']).stem for image in coco.imgs.values())
    if names.total() > len(names):
        name = names.most_common(1)[0][0]
        raise ValueError(f'{split}.json has several images named {name}: masks are found by the name of the image')
    return coco, classes


def render_all(source: Path, target: Path) -> None:
    """Link the images of both splits and write their masks; raise ValueError if the target is not empty."""
    if target.exists() and any(target.iterdir()):
        raise ValueError(f'{target} is not empty: give a new folder')
    for split, (coco, classes) in {split: read(source, split) for split in ('train', 'val')}.items():
        images, masks = (target / kind / split for kind in ('img', 'ann'))
        for folder in (images, masks):
            folder.mkdir(parents=True)
        for image in coco.imgs.values():
            name = Path(image['file_name'])
            (images / name.name).symlink_to((source / 'images' / name).resolve(strict=True))
            Image.fromarray(render(coco, image, classes)).save(masks / f'{name.stem}.png')


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and render."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', type=expanded, help='folder with images/, train.json and val.json')
    parser.add_argument('target', type=expanded, help='new folder')
    parser.add_argument('--debug', action='store_true', help='show errors with their whole traceback')
    args = parser.parse_args(arguments)
    with readable_errors(args.debug):
        render_all(args.source, args.target)


if __name__ == '__main__':
    main()
