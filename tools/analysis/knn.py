"""Judge an encoder's features by their nearest neighbours: no training, a minute, and a number to compare.

    python tools/analysis/knn.py CONFIG [CHECKPOINT] --train FOLDER --val FOLDER [--k 20] [--json]

The folders hold one folder a class. Without a checkpoint the encoder is as initialised, which is what to compare with.
The protocol is that of Wu et al. 2018 (arXiv 1805.01978): the k nearest by cosine similarity vote, each with the weight
exp(similarity / temperature).

Letters: B pictures, T training pictures, V validation pictures, C channels, D features, H x W pixels.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import mixmae_mm  # before the host packages: it mends what is known to break on import

# isort: split
import numpy as np
import torch
from mmengine.config import Config
from PIL import Image, ImageOps
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from mixmae_mm.datasets import LoadPicture, PictureFolder
from mixmae_mm.failures import readable_errors
from mixmae_mm.inference.models import build_encoder, normalisation, picture_size
from mixmae_mm.launching import Settings
from mixmae_mm.seeding import seed_everything


def knn_accuracy(
    train_features: Tensor,
    train_labels: Tensor,
    val_features: Tensor,
    val_labels: Tensor,
    k: int,
    temperature: float,
    num_classes: int,
) -> float:
    """Tell the share of validation pictures whose neighbours vote for their class.

    Args:
        train_features: (T, D), of any length: they are normalised here.
        train_labels: (T,), below `num_classes`.
        val_features: (V, D).
        val_labels: (V,).
        k: Neighbours that vote.
        temperature: The smaller, the more the nearest ones count.
        num_classes: Number of classes.

    Raises:
        ValueError: fewer training pictures than `k`, or a temperature that is not positive.
    """
    if not 1 <= k <= len(train_features):
        raise ValueError(f'{k} neighbours of {len(train_features)} training pictures: give a k from 1 to that number')
    if temperature <= 0:
        raise ValueError(f'temperature {temperature}: give a positive number')
    known = F.normalize(train_features, dim=1)
    asked = F.normalize(val_features, dim=1)
    chunks = zip(asked.split(1024), val_labels.split(1024), strict=True)
    right = sum((_vote(x @ known.T, train_labels, k, temperature, num_classes) == y).sum() for x, y in chunks)
    return float(right) / len(val_labels)


def _vote(similarity: Tensor, labels: Tensor, k: int, temperature: float, num_classes: int) -> Tensor:
    """Let the k nearest vote: similarities (V, T) and labels (T,) -> classes (V,)."""
    nearest, which = similarity.topk(k, dim=1)
    weights = ((nearest - nearest[:, :1]) / temperature).exp()  # relative to the nearest: the same vote, no overflow
    votes = torch.zeros(len(similarity), num_classes, dtype=weights.dtype, device=weights.device)
    return votes.scatter_add_(1, labels[which], weights).argmax(1)


def normaliser(config: Config) -> Callable[[Tensor], Tensor]:
    """Make the function that brings RGB pictures (B, C, H, W), 0 to 255, to what the encoder was trained with."""
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in normalisation(config).values())
    return lambda pictures: (pictures - mean.to(pictures)) / std.to(pictures)


def class_folders(folder: str) -> list[str]:
    """List the classes that a folder has subfolders for, sorted."""
    return sorted(path.name for path in Path(folder).expanduser().glob('*') if path.is_dir())


def open_pictures(folder: str, classes: list[str], size: tuple[int, int]) -> PictureFolder:
    """Open a folder of class folders: samples (uint8 (3, H, W), label), cropped in the middle to `size` = (H, W).

    Raises:
        ValueError: there is no picture, or one outside the folders of `classes`.
    """
    labels = {name: label for label, name in enumerate(classes)}
    root = Path(folder).expanduser()

    def prepare(results: dict) -> tuple[Tensor, int]:
        picture = ImageOps.fit(Image.fromarray(results['img']), size[::-1], Image.Resampling.BICUBIC)
        name = Path(results['img_path']).relative_to(root).parts[0]
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1), labels[name]

    dataset = PictureFolder(folder, [LoadPicture(), prepare])
    paths = (Path(dataset.get_data_info(i)['img_path']).relative_to(root) for i in range(len(dataset)))
    stray = next((path for path in paths if path.parts[0] not in labels), None)
    if stray is not None:
        raise ValueError(f'{stray} in {folder} is in none of the class folders {", ".join(classes[:10])}')
    return dataset


@torch.no_grad()
def extract(
    encoder: nn.Module, normalise: Callable[[Tensor], Tensor], dataset: PictureFolder, batch_size: int, workers: int
) -> tuple[Tensor, Tensor]:
    """Compute the mean of the last map for each picture, and the labels: (B, D) and (B,)."""
    device = next(encoder.parameters()).device
    loader = DataLoader(dataset, batch_size, num_workers=workers)
    features, labels = [], []
    for pictures, label in track(loader, f'features of {dataset.data_root}', console=Console(stderr=True)):
        features.append(encoder(normalise(pictures.to(device).float()))[-1].mean((2, 3)))
        labels.append(label.to(device))
    return torch.cat(features), torch.cat(labels)


def judge(args: argparse.Namespace) -> dict:
    """Compute the accuracy that the command line asks for."""
    config = Config.fromfile(args.config)
    config.merge_from_dict(args.cfg_options or {})
    seed_everything(args.seed)
    encoder, normalise = build_encoder(config, args.checkpoint), normaliser(config)
    size, classes = picture_size(config, args.image_size), class_folders(args.train)
    datasets = [open_pictures(folder, classes, size) for folder in (args.train, args.val)]
    parts = [extract(encoder, normalise, dataset, args.batch_size, args.workers) for dataset in datasets]
    accuracy = knn_accuracy(*parts[0], *parts[1], args.k, args.temperature, len(classes))
    settings = {name: getattr(args, name) for name in ('k', 'temperature', 'checkpoint')}
    return dict(top1=accuracy, chance=1 / len(classes), **settings)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=f'Nearest neighbours (mixmae_mm {mixmae_mm.__version__})')
    parser.add_argument('config', help='config with the encoder as model.backbone')
    parser.add_argument('checkpoint', nargs='?', help='its weights; without, the encoder stays untrained')
    parser.add_argument('--train', required=True, help='folder of class folders: the neighbours')
    parser.add_argument('--val', required=True, help='folder of class folders: what is classified')
    parser.add_argument('--k', type=int, default=20, help='neighbours (%(default)s)')
    parser.add_argument('--temperature', type=float, default=0.07, help='of the votes (%(default)s)')
    parser.add_argument('--image-size', type=int, help="pixels a side (the encoder's img_size)")
    parser.add_argument('--batch-size', type=int, default=64, help='pictures at a time (%(default)s)')
    parser.add_argument('--workers', type=int, default=0, help='processes that read pictures (%(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='of the untrained encoder (%(default)s)')
    parser.add_argument('--json', action='store_true', help='print the result as one JSON line')
    parser.add_argument('--cfg-options', nargs='+', action=Settings, help='config settings to override: a.b=value')
    parser.add_argument('--debug', action='store_true', help='show errors with their whole traceback')
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Judge and print."""
    args = parse_args(arguments)
    with readable_errors(args.debug):
        result = judge(args)
    if args.json:
        print(json.dumps(result))
    else:
        top1, chance = result['top1'], result['chance']
        print(f'kNN top-1 {top1:.1%} (chance {chance:.1%}), {args.checkpoint or "untrained encoder"}')


if __name__ == '__main__':
    main()
