"""Some labelled pictures to learn from and others to be judged by, out of one folder."""

from pathlib import Path

import numpy as np

from mixmae_mm.datasets import PictureFolder
from mixmae_mm.datasets.walking import class_folders
from mixmae_mm.evaluation.labelled_pictures import open_pictures

JUDGED_BY = 0.25  # of the pictures


def open_splits(
    folder: str, size: tuple[int, int], channels: int, max_pictures: int, seed: int
) -> tuple[PictureFolder, PictureFolder, int]:
    """Open pictures to learn from, others to be judged by, and tell the number of classes.

    Where the folder holds `train` and `val`, each with a folder a class, they are the two; a folder of class folders is
    split by lot. Samples are those of `open_pictures`.

    Args:
        folder: Where the pictures are.
        size: (H, W) of the pictures that are wanted.
        channels: 3 for RGB, 1 for grey.
        max_pictures: Of both together; if there are more, a choice by lot is taken.
        seed: Of the lots.

    Raises:
        ValueError: there is no such folder, less than two classes, or too little to split.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise ValueError(f'there is no folder {folder} of labelled pictures (looked for {root.absolute()})')
    parts = [root / name for name in ('train', 'val')]
    places = [str(part) for part in parts] if all(part.is_dir() for part in parts) else [str(root)]
    classes = class_folders(places[0])
    if len(classes) < 2:
        raise ValueError(f'{places[0]} holds {len(classes)} class folder(s): two or more are needed to tell them apart')
    opened = [open_pictures(place, classes, size, channels) for place in places]
    orders = [np.random.default_rng(seed).permutation(len(dataset)) for dataset in opened]
    judges = int(max_pictures * JUDGED_BY)
    if len(opened) == 2:
        chosen = orders[0][: max_pictures - judges], orders[1][:judges]
    else:
        drawn = orders[0][:max_pictures]
        chosen = np.split(drawn, [len(drawn) - int(len(drawn) * JUDGED_BY)])
    if not all(len(numbers) for numbers in chosen):
        raise ValueError(f'{sum(map(len, opened))} labelled picture(s) in {folder} are too few to split')
    known, asked = (
        dataset.get_subset([int(number) for number in np.sort(numbers)])
        for dataset, numbers in zip(opened if len(opened) == 2 else opened * 2, chosen, strict=True)
    )
    return known, asked, len(classes)
