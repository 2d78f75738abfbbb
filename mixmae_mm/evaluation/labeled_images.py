"""Labeled images, one folder per class: splitting, reading and feature extraction."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mixmae_mm.datasets import ImageFolder
from mixmae_mm.datasets.file_list import Listing, class_folders
from mixmae_mm.datasets.image_reader import ImageReader
from mixmae_mm.utils.names import expand, printable
from mixmae_mm.utils.seed import kept_randomness

VAL_SHARE, SHOWN = 0.25, 10
Labeled = dict[str, int]
"""Image files, each with its label."""


def label_by_folder(listing: Listing, classes: Sequence[str]) -> Labeled:
    """Label images by their class folders, with indices into `classes`; raise ValueError for any other folder."""
    labels, found = {name: label for label, name in enumerate(classes)}, {}
    for entry in listing:
        inside = Path(entry['img_path']).relative_to(listing.root)
        if inside.parts[0] not in labels:
            name, where = printable(str(inside)), printable(listing.root)
            shown = ', '.join(classes[:SHOWN]) + ', ...' * (len(classes) > SHOWN)
            raise ValueError(f'{name} in {where} is not in one of the {len(classes)} class folders {shown}')
        found[entry['img_path']] = labels[inside.parts[0]]
    return found


def split_labeled(
    folder: str, extensions: Sequence[str] | None, max_images: int, seed: int
) -> tuple[Labeled, Labeled, int]:
    """Return labeled images to train on, others to validate on, and the number of classes.

    If the folder has `train` and `val`, each with one folder per class, they are used; otherwise it is split at random.
    Raise ValueError if there is no such folder, or it has fewer than two classes or too few images to split.

    Args:
        folder: Folder of the images.
        extensions: Extensions of image files; None for those of the usual formats.
        max_images: Maximum number of images in total; if there are more, this many are drawn at random.
        seed: Seed of the draw.
    """
    root = Path(expand(folder))
    if not root.is_dir():
        raise ValueError(f'there is no folder {folder} of labeled images (looked for {root.absolute()})')
    parts = [root / 'train', root / 'val']
    places = [str(part) for part in (parts if all(part.is_dir() for part in parts) else [root])]
    classes = class_folders(places[0])
    if len(classes) < 2:
        raise ValueError(f'{places[0]} holds {len(classes)} class folder(s): two or more are needed')
    listings = [ImageFolder(place, extensions=extensions).data_list for place in places]
    listed = [list(label_by_folder(listing, classes).items()) for listing in listings]
    train, val = draw_parts(listed, max_images, seed, folder)
    return train, val, len(classes)


def draw_parts(listed: Sequence[Sequence[tuple]], max_images: int, seed: int, folder: str) -> tuple[dict, dict]:
    """Draw training and validation images from two lists, or both from one; raise `ValueError` if there are too few."""
    chosen = _choose([len(images) for images in listed], max_images, seed)
    if not all(map(len, chosen)):
        raise ValueError(f'{sum(map(len, listed))} labeled image(s) in {folder} are too few to split')
    train, val = (dict(listed[n % len(listed)][i] for i in np.sort(part)) for n, part in enumerate(chosen))
    return train, val


def _choose(counts: Sequence[int], max_images: int, seed: int) -> Sequence[np.ndarray]:
    """Choose the indices of training and validation images, from one list or two."""
    orders = [np.random.default_rng(seed).permutation(count) for count in counts]
    if len(orders) == 2:
        to_validate = int(max_images * VAL_SHARE)
        return orders[0][: max_images - to_validate], orders[1][:to_validate]
    drawn = orders[0][:max_images]
    return np.split(drawn, [len(drawn) - int(len(drawn) * VAL_SHARE)])


def read_labeled(labeled: Labeled, read: ImageReader) -> tuple[Tensor, Tensor]:
    """Read images (B, C, H, W) and their labels (B,); corrupt images are left out, with a warning."""
    batches = [(names, torch.from_numpy(pixels).permute(0, 3, 1, 2)) for names, pixels in read(labeled)]
    if not batches:
        raise ValueError(f'none of {len(labeled)} labeled images can be read, such as {printable(next(iter(labeled)))}')
    labels = [labeled[name] for names, _ in batches for name in names]
    return torch.cat([pixels for _, pixels in batches]), torch.tensor(labels)


@kept_randomness()  # a DataLoader draws a seed for its workers
@torch.no_grad()
def extract(
    encoder: nn.Module, normalize: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    """Average the last map of each image over its patches: return features (B, D) with the labels (B,)."""
    device = next(encoder.parameters()).device
    features, labels = [], []
    for images, label in batches:
        features.append(encoder(normalize(images.to(device).float()))[-1].mean((2, 3)))
        labels.append(label.to(device))
    return torch.cat(features), torch.cat(labels)
