"""Draw the nearest neighbors of images among those of a folder, by the cosine of their features.

There is one row for each image, with its neighbors from the most similar down, without the image itself. Saved features
are files written by `mixmae extract` or `FeatureExtractor.save`.
"""

import argparse
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from PIL import Image

from mixmae_mm.apis.feature_extractor import FeatureExtractor
from mixmae_mm.apis.reconstruction_inferencer import choose_image_files
from mixmae_mm.evaluation.functional.linear_probe import whiten
from mixmae_mm.utils.arguments import counted
from mixmae_mm.utils.names import expand, printable
from mixmae_mm.visualization import Panel, draw_grid
from mixmae_mm.visualization.image_grid import BLUE

SAME = 0.99  # minimum cosine between an image's features computed twice; with another encoder it is far lower


class Neighbors(NamedTuple):
    """An image with its neighbors and their cosines, from the most similar down."""

    asked: str
    found: list[str]
    cosines: list[float]


def read_saved(file: str | os.PathLike) -> tuple[list[str], np.ndarray]:
    """Read the names of images and their features, (images, C), from an .npz file."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            names, features = arrays['names'].tolist(), arrays['features']
    except (KeyError, ValueError, OSError, TypeError) as error:
        raise ValueError(f'{file} does not have "features" and "names", as `mixmae extract` writes: {error}') from error
    if features.ndim != 2 or len(names) != len(features):
        raise ValueError(f'{file} has features {features.shape} of {len(names)} images: expected one row per image')
    return names, features


def check_same_encoder(extract: FeatureExtractor, names: list[str], features: np.ndarray, file: str) -> None:
    """Check that saved features come from this encoder, by recomputing those of the first image."""
    fresh = extract.encode(extract.open_all(names[:1]))[0]
    if fresh.shape == features[0].shape and unit(fresh) @ unit(features[0]) >= SAME:
        return
    raise ValueError(f'the features in {file} are not of this encoder: save them again with this config and checkpoint')


def unit(features: np.ndarray) -> np.ndarray:
    """Scale features (..., C) to length 1; zeros stay zeros."""
    return features / np.maximum(np.linalg.norm(features, axis=-1, keepdims=True), 1e-12)


def find(asked: list[str], of_asked: np.ndarray, names: list[str], known: np.ndarray, k: int) -> list[Neighbors]:
    """Find up to k neighbors of each image, features (B, C), among other files `names`, features `known` (N, C)."""
    places = np.array([os.path.realpath(name) for name in names])
    found = []
    for file, cosines in zip(asked, unit(of_asked) @ unit(known).T, strict=True):
        others = [i for i in np.argsort(-cosines, kind='stable') if places[i] != os.path.realpath(file)][:k]
        found.append(Neighbors(file, [names[i] for i in others], cosines[others].tolist()))
    return found


def row_of(found: Neighbors, extract: FeatureExtractor, with_folders: bool) -> list[Panel]:
    """Make the panels of an image and its neighbors, with cosines below, and folders, which are often classes."""
    files = [found.asked, *found.found]
    texts = ['', *(f'{cosine:.2f} ' for cosine in found.cosines)]
    if with_folders:
        texts = [text + printable(Path(file).absolute().parent.name) for text, file in zip(texts, files, strict=True)]
    images = extract.as_shown(extract.open_all(files))
    panels = [Panel(image, str(i), text.strip()) for i, (image, text) in enumerate(zip(images, texts, strict=True))]
    return [panels[0]._replace(title='image', frame=BLUE), *panels[1:]]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this drawing."""
    parser.add_argument('--of', type=expand, nargs='+', required=True, help='images or folders to find neighbors of')
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument('--among', type=expand, nargs='+', help='folders or images to find neighbors among')
    where.add_argument('--features', type=expand, help='their features, saved before (.npz)')
    parser.add_argument('--num-images', type=counted, default=6, help='images to draw at most (%(default)s)')
    parser.add_argument('--k', type=counted, default=8, help='neighbors of each (%(default)s)')
    parser.add_argument('--batch-size', type=counted, default=32, help='images at a time (%(default)s)')
    moved = parser.add_mutually_exclusive_group()
    moved.add_argument('--center', action='store_true', help='subtract the mean of the features of --among')
    text = 'compare this many whitened principal components of the features of --among'
    moved.add_argument('--whiten', type=counted, metavar='COMPONENTS', help=text)


def draw(args: argparse.Namespace, config: Config) -> tuple[Image.Image, str]:
    """Return the image grid, and a line for each image with its nearest neighbor."""
    settings = dict(batch_size=args.batch_size, device=args.device)
    extract = FeatureExtractor.from_config(config, args.checkpoint, **settings)
    asked = choose_image_files(args.of, args.num_images, 1, args.seed, extract.read.image_loader.extensions)
    of_asked = extract.encode(extract.open_all(asked))
    names, known = read_saved(args.features) if args.features else extract.with_names(args.among)
    if args.features:
        check_same_encoder(extract, names, known, args.features)
    if args.whiten:
        known, of_asked = (x.numpy() for x in whiten(*map(torch.from_numpy, (known, of_asked)), args.whiten))
    center = known.mean(0, dtype=np.float64) if args.center else 0.0
    found = find(asked, of_asked - center, names, known - center, args.k)
    if not all(one.found for one in found):
        raise ValueError(f'{asked[0]} is the only image among those given: name a folder with others')
    with_folders = len({Path(path).parent for one in found for path in one.found}) > 1
    minus = ', minus their mean' if args.center else f', {args.whiten} whitened components' if args.whiten else ''
    caption = f'Nearest of {len(names):,} images, by the cosine (below them) of pooled features{minus}.'
    lines = [f'{printable(one.asked)}: {printable(one.found[0])} ({one.cosines[0]:.3f})' for one in found]
    return draw_grid([row_of(one, extract, with_folders) for one in found], caption), '\n'.join(lines)
