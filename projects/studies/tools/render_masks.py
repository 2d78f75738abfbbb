"""Render the instances of a COCO dataset as masks of their classes, for the dense probe of `mixmae evaluate`.

    python projects/studies/tools/render_masks.py data/nuclei_dsb2018 data/nuclei_masks

For each of train.json and val.json in the first folder, the second gets img/SPLIT, links to the images, and
ann/SPLIT, PNG masks in which 0 is background and 1, 2, ... are the categories in the order of their ids.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools.coco import COCO


def render(coco: COCO, image: dict) -> np.ndarray:
    """Return the mask (H, W), uint8, of an image; where instances overlap, the last one counts."""
    classes = {category: number for number, category in enumerate(sorted(coco.cats), start=1)}
    mask = np.zeros((image['height'], image['width']), np.uint8)
    for instance in coco.imgToAnns[image['id']]:
        mask[coco.annToMask(instance) == 1] = classes[instance['category_id']]
    return mask


def main(source: str, target: str) -> None:
    """Render both splits."""
    for split in ('train', 'val'):
        images, masks = (Path(target, kind, split) for kind in ('img', 'ann'))
        coco = COCO(Path(source, f'{split}.json'))
        for folder in (images, masks):
            folder.mkdir(parents=True)
        for image in coco.imgs.values():
            name = Path(image['file_name'])
            (images / name.name).symlink_to(Path(source, 'images', name).resolve(strict=True))
            Image.fromarray(render(coco, image)).save(masks / f'{name.stem}.png')


if __name__ == '__main__':
    main(*sys.argv[1:])
