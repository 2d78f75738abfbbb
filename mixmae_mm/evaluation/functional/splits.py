"""Training and validation images out of one labeled folder."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mixmae_mm.datasets import ImageFolder
from mixmae_mm.datasets.directory_walk import class_folders
from mixmae_mm.evaluation.labeled_images import Labeled, label_by_folder
from mixmae_mm.utils.names import expand

JUDGED_BY = 0.25  # of the images


def split_labeled(
    folder: str, extensions: Sequence[str] | None, max_images: int, seed: int
) -> tuple[Labeled, Labeled, int]:
    """List images to train on, others to validate on, and the number of classes.

    Where the folder holds `train` and `val`, each with a folder a class, they are the two; a folder of class folders is
    split at random.

    Args:
        folder: Where the images are.
        extensions: Of the images' names; None for those of the usual formats.
        max_images: Of both together; if there are more, a choice at random is taken.
        seed: Of the lots.

    Raises:
        ValueError: there is no such folder, less than two classes, or too little to split.
    """
    root = Path(expand(folder))
    if not root.is_dir():
        raise ValueError(f'there is no folder {folder} of labeled images (looked for {root.absolute()})')
    parts = [root / name for name in ('train', 'val')]
    places = [str(part) for part in parts] if all(part.is_dir() for part in parts) else [str(root)]
    classes = class_folders(places[0])
    if len(classes) < 2:
        raise ValueError(f'{places[0]} holds {len(classes)} class folder(s): two or more are needed to tell them apart')
    listings = [ImageFolder(place, extensions=extensions).data_list for place in places]
    listed = [list(label_by_folder(listing, classes).items()) for listing in listings]
    orders = [np.random.default_rng(seed).permutation(len(images)) for images in listed]
    judges = int(max_images * JUDGED_BY)
    if len(listed) == 2:
        chosen = orders[0][: max_images - judges], orders[1][:judges]
    else:
        drawn = orders[0][:max_images]
        chosen = np.split(drawn, [len(drawn) - int(len(drawn) * JUDGED_BY)])
    if not all(len(numbers) for numbers in chosen):
        raise ValueError(f'{sum(map(len, listed))} labeled image(s) in {folder} are too few to split')
    pairs = zip(listed if len(listed) == 2 else listed * 2, chosen, strict=True)
    known, asked = (dict(images[number] for number in np.sort(numbers)) for images, numbers in pairs)
    return known, asked, len(classes)
