"""Test on trained models what the paper says of mixing: do patches of other images help, and is it an augmentation?

    python projects/studies/tools/mixture_losses.py RUN ... --unseen FOLDER [--json FILE]

A RUN is the folder of a pre-training, with its config and last checkpoint. Reconstruction losses are of whole images,
without augmentation, with the mixtures of the training:

    seen, unseen: of the photos that the run was trained with, and of others. A large gap: photos are learned by heart
    foreign: unseen photos mixed with photos of other classes, minus mixed with photos of their own class, whose masks
        and positions in the mixture are the same. Positive: patches of other images help
    foreign attention: the share of other images in the attention of patches to patches, for each block

with standard errors over batches. Unseen photos lie in one folder for each class.
"""

import argparse
import json
import math
import statistics
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from mixmae_mm.utils import compat

compat.apply()  # before the libraries that it fixes

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.runner import find_latest_checkpoint
from rich.console import Console
from rich.table import Table
from torch import Tensor

from mixmae_mm.apis.attention_maps import attention_of
from mixmae_mm.apis.model import build_pretrainer, input_size
from mixmae_mm.apis.reconstruction_inferencer import mix_once
from mixmae_mm.datasets import ImageFolder
from mixmae_mm.datasets.image_reader import image_loader_of
from mixmae_mm.mixing import homologous
from mixmae_mm.registry import DATASETS
from mixmae_mm.utils.arguments import expanded

Measure = tuple[float, float]
"""A mean and its standard error."""


def files_of(dataset: ImageFolder) -> list[str]:
    """List the files of a dataset."""
    return [dataset.get_data_info(number)['img_path'] for number in range(len(dataset))]


def rows_by_class(files: list[str], num_sources: int) -> list[list[str]]:
    """Arrange files so that each row has `num_sources` of one class (folder), and successive rows differ in class."""
    of_class = defaultdict(list)
    for file in files:
        of_class[Path(file).parent.name].append(file)
    if len(of_class) < max(num_sources, 2):
        raise ValueError(f'{len(of_class)} class(es) for mixtures of {num_sources} images: give as many or more')
    number = min(len(found) for found in of_class.values()) // num_sources
    starts = range(0, number * num_sources, num_sources)
    return [found[start : start + num_sources] for start in starts for found in of_class.values()]


def apart(images: Tensor, num_sources: int) -> Tensor:
    """Move rows of one class (G * K images) into other rows, each source as far as its number: all in its old slot."""
    rows = images.unflatten(0, (-1, num_sources))
    return torch.stack([rows[:, source].roll(source, 0) for source in range(num_sources)], dim=1).flatten(0, 1)


@torch.no_grad()
def loss_of(model: BaseModel, images: Tensor, seed: int) -> float:
    """Return the reconstruction loss of images (B, C, H, W), in RGB, with one assignment for all."""
    shared, model.data_preprocessor.shared_assignment = model.data_preprocessor.shared_assignment, True
    mixtures = mix_once(model.data_preprocessor, images.float(), seed)
    model.data_preprocessor.shared_assignment = shared
    return float(model.loss(mixtures)['loss_reconstruction'])


@torch.no_grad()
def foreign_attention(model: BaseModel, images: Tensor, seed: int) -> dict[str, float]:
    """Return for each block the share of other images in the attention of patches to patches."""
    mixtures = mix_once(model.data_preprocessor, images.float(), seed)
    encoder, found = model.backbone, {}
    owners = mixtures.assignment.flatten(1).expand(len(mixtures.mixed), -1)
    if mixtures.ids_keep is not None:
        owners = owners.gather(1, mixtures.ids_keep.expand(len(owners), -1))
    others = ~homologous(owners)
    for name, attention in attention_of(encoder, mixtures, range(max(encoder.out_indices) + 1)).items():
        weights = attention.weights[:, 0, :, attention.extra :, attention.extra :].mean(1)
        found[name] = float((weights * others).sum() / weights.sum())
    return found


def measured(values: list[float]) -> Measure:
    """Return a mean and its standard error."""
    return statistics.mean(values), statistics.stdev(values) / math.sqrt(len(values))


def batches(images: Tensor, size: int) -> Iterator[tuple[int, Tensor]]:
    """Yield whole batches, with their numbers."""
    whole = len(images) // size * size
    if whole < 2 * size:
        raise ValueError(f'{len(images)} images for batches of {size}: two or more are needed for a standard error')
    yield from enumerate(images[:whole].split(size))


def statistics_of(run: Path, unseen: list[str]) -> dict[str, Measure | float]:
    """Measure one run."""
    (config,) = (Config.fromfile(file) for file in run.glob('*.py'))
    model = build_pretrainer(config, find_latest_checkpoint(str(run)))
    num_sources, loader, size = model.data_preprocessor.num_sources, image_loader_of(config), input_size(config)
    rows = rows_by_class(unseen, num_sources)
    together = loader.read_all([file for row in rows for file in row], size)
    batch = num_sources * len({Path(file).parent for file in unseen})
    seen = files_of(DATASETS.build(config.train_dataloader.dataset))
    order = torch.randperm(len(seen), generator=torch.Generator().manual_seed(0)).tolist()
    photos = loader.read_all([seen[number] for number in order], size)
    losses = [loss_of(model, images, number) for number, images in batches(photos, batch)]
    mixed = [loss_of(model, apart(images, num_sources), number) for number, images in batches(together, batch)]
    result: dict[str, Measure | float] = dict(seen=measured(losses), unseen=measured(mixed))
    if num_sources > 1:
        own = [loss_of(model, images, number) for number, images in batches(together, batch)]
        result['foreign'] = measured([other - same for other, same in zip(mixed, own, strict=True)])
        result |= foreign_attention(model, apart(together[: 10 * batch], num_sources), seed=0)
    return result


def described(measure: Measure) -> str:
    """Format a mean and its standard error."""
    return '{:.4f} +- {:.4f}'.format(*measure)


def main(arguments: list[str] | None = None) -> None:
    """Measure the runs, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runs', type=expanded, nargs='+', metavar='RUN')
    parser.add_argument('--unseen', type=expanded, required=True, metavar='FOLDER')
    parser.add_argument('--json', type=expanded, metavar='FILE', help='write the results, too')
    args = parser.parse_args(arguments)
    unseen = files_of(ImageFolder(str(args.unseen)))
    found = {}
    table = Table('run', 'seen', 'unseen', 'foreign', 'foreign attention')
    for run in args.runs:
        found[str(run)] = row = statistics_of(run, unseen)
        texts = [described(row[key]) if key in row else '-' for key in ('seen', 'unseen', 'foreign')]
        table.add_row(str(run), *texts, ' '.join(f'{row[key]:.2f}' for key in row if key.startswith('block')))
    Console(width=160).print(table)
    if args.json:
        Path(args.json).write_text(json.dumps(found, indent=1) + '\n')


if __name__ == '__main__':
    main()
