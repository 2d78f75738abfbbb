"""Labeled images, a folder a class, and their features.

Letters: B images, C channels, D features, H x W pixels.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from mixmae_mm.datasets.file_list import Listing
from mixmae_mm.datasets.image_reader import ImageReader
from mixmae_mm.utils.names import printable
from mixmae_mm.utils.seed import kept_randomness

Labeled = dict[str, int]
"""Files, each with the number of its class."""


def label_by_folder(listing: Listing, classes: Sequence[str]) -> Labeled:
    """Label images by their class folders; labels are indices of `classes`.

    Raises:
        ValueError: An image lies outside the folders of `classes`.
    """
    root, labels = Path(listing.root), {name: label for label, name in enumerate(classes)}
    found = {}
    for entry in listing:
        inside = Path(entry['img_path']).relative_to(root)
        if inside.parts[0] not in labels:
            raise ValueError(
                f'{printable(str(inside))} in {printable(listing.root)} is in none of the class folders '
                f'{", ".join(classes[:10])}'
            )
        found[entry['img_path']] = labels[inside.parts[0]]
    return found


def read_labeled(labeled: Labeled, read: ImageReader) -> tuple[Tensor, Tensor]:
    """Read images, (B, C, H, W), with their labels, (B,); corrupt ones are left out, with a warning.

    Raises:
        ValueError: None of them can be read.
    """
    batches = [(names, torch.from_numpy(pixels).permute(0, 3, 1, 2)) for names, pixels in read(labeled)]
    if not batches:
        raise ValueError(f'none of {len(labeled)} labeled images can be read, such as {printable(next(iter(labeled)))}')
    names = [name for some, _ in batches for name in some]
    return torch.cat([pixels for _, pixels in batches]), torch.tensor([labeled[name] for name in names])


@kept_randomness()  # a DataLoader draws a seed for its workers
@torch.no_grad()
def extract(
    encoder: nn.Module, normalize: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    """Compute the mean of the last map of each image; labels go along: two of (B, D) and (B,)."""
    device = next(encoder.parameters()).device
    features, labels = [], []
    for images, label in batches:
        features.append(encoder(normalize(images.to(device).float()))[-1].mean((2, 3)))
        labels.append(label.to(device))
    return torch.cat(features), torch.cat(labels)
