"""Test trained models: do patches of other images help to reconstruct, and are training images memorized?

    python projects/studies/tools/mixture_losses.py RUN ... --unseen FOLDER [--json FILE]

A RUN is the folder of a pre-training of MixedAE or MAE, with its config and last checkpoint. Reconstruction losses are
of whole images, without augmentation, with mixtures as in training, and standard errors over batches:

    seen, unseen: of the images that the run was trained with, and of others. A large gap: they are memorized
    foreign: of unseen photos mixed with photos of other classes, minus mixed with photos of their own class, with the
        same masks. Positive: patches of similar images help
    copies: of unseen photos mixed with photos of other classes, minus mixed with copies of themselves, which show what
        is masked, with the same masks. What a model can gain from the patches of other images at most
    foreign attention: the share of other images in the attention of patches to patches, for each block from 0

Unseen photos lie in one folder for each class.
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
from mixmae_mm.models import MixedAE
from mixmae_mm.registry import DATASETS
from mixmae_mm.utils.arguments import expanded

Measure = tuple[float, float]
"""A mean and its standard error."""


def load(run: Path) -> tuple[Config, BaseModel]:
    """Return the config and the trained model of a run; raise ValueError if the folder is no run of MixedAE or MAE."""
    configs, checkpoint = [*run.glob('*.py')], find_latest_checkpoint(str(run))
    if len(configs) != 1 or checkpoint is None:
        found = f'{len(configs)} config(s) and {"no" if checkpoint is None else "a"} last checkpoint'
        raise ValueError(f'{run} has {found}: give the folder of one training, with one of each')
    config = Config.fromfile(configs[0])
    model = build_pretrainer(config, checkpoint, 'cpu')
    if not isinstance(model, MixedAE):
        raise ValueError(f'{run} has a {type(model).__name__}: give runs of MixedAE or MAE')
    return config, model


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


def copied(images: Tensor, num_sources: int) -> Tensor:
    """Replace each row's images (G * K images) by copies of its first."""
    rows = images.unflatten(0, (-1, num_sources))
    return rows[:, :1].expand_as(rows).flatten(0, 1)


@torch.no_grad()
def loss_of(model: BaseModel, images: Tensor, seed: int, counted: int | None = None) -> float:
    """Return the reconstruction loss of images (B, C, H, W), in RGB, with one assignment for all.

    Only the first `counted` images of each mixture count; None for all.
    """
    preprocessor, head = model.data_preprocessor, model.head
    shared, preprocessor.shared_assignment = preprocessor.shared_assignment, True
    usual, head.num_reconstructed = head.num_reconstructed, counted
    loss = float(model.loss(mix_once(preprocessor, images.float(), seed))['loss_reconstruction'])
    preprocessor.shared_assignment, head.num_reconstructed = shared, usual
    return loss


@torch.no_grad()
def foreign_attention(model: BaseModel, images: Tensor, seed: int) -> dict[str, float]:
    """Return for each block the share of other images in the attention of patches to patches, CLS apart."""
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
    config, model = load(run)
    num_sources, loader, size = model.data_preprocessor.num_sources, image_loader_of(config), input_size(config)
    rows = rows_by_class(unseen, num_sources)
    together = loader.read_all([file for row in rows for file in row], size)
    batch = num_sources * len({Path(file).parent for file in unseen})
    seen = files_of(DATASETS.build(config.train_dataloader.dataset))
    order = torch.randperm(len(seen), generator=torch.Generator().manual_seed(0)).tolist()
    photos = loader.read_all([seen[number] for number in order], size)
    seen_losses = [loss_of(model, images, number) for number, images in batches(photos, batch)]
    foreign, copies, unseen_losses = [], [], []
    for number, images in batches(together, batch):
        mixed = apart(images, num_sources)
        unseen_losses.append(loss_of(model, mixed, number))
        if num_sources > 1:
            foreign.append(unseen_losses[-1] - loss_of(model, images, number))
            first = [loss_of(model, version, number, 1) for version in (mixed, copied(mixed, num_sources))]
            copies.append(first[0] - first[1])
    result: dict[str, Measure | float] = dict(seen=measured(seen_losses), unseen=measured(unseen_losses))
    if num_sources > 1:
        result |= dict(foreign=measured(foreign), copies=measured(copies))
        result |= foreign_attention(model, apart(together[: 10 * batch], num_sources), seed=0)
    return result


def described(measure: Measure) -> str:
    """Format a mean and its standard error."""
    return '{:.5f} +- {:.5f}'.format(*measure)


def main(arguments: list[str] | None = None) -> None:
    """Measure the runs, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runs', type=expanded, nargs='+', metavar='RUN')
    parser.add_argument('--unseen', type=expanded, required=True, metavar='FOLDER')
    parser.add_argument('--json', type=expanded, metavar='FILE', help='write the results, too')
    args = parser.parse_args(arguments)
    if args.json and not Path(args.json).parent.is_dir():
        raise ValueError(f'--json {args.json}: there is no folder {Path(args.json).parent}, make it first')
    unseen = files_of(ImageFolder(str(args.unseen)))
    found = {}
    measures = ('seen', 'unseen', 'foreign', 'copies')
    table = Table('run', *measures, 'foreign attention')
    for run in args.runs:
        found[str(run)] = row = statistics_of(run, unseen)
        texts = [described(row[key]) if key in row else '-' for key in measures]
        table.add_row(str(run), *texts, ' '.join(f'{row[key]:.2f}' for key in row if key.startswith('block')))
    Console(width=160).print(table)
    if args.json:
        Path(args.json).write_text(json.dumps(found, indent=1) + '\n')


if __name__ == '__main__':
    main()
