"""Draw what frozen patch features know about pixel classes: predictions of a linear classifier trained on masks.

One row for each image: its labels, the prediction with the untrained encoder, and that with the trained one.
"""

import argparse

import numpy as np
import torch
from drawing import add_size
from matplotlib import colormaps
from mmengine.config import Config
from PIL import Image
from torch import Tensor

from mixmae_mm import evaluation
from mixmae_mm.apis.feature_extractor import FeatureExtractor
from mixmae_mm.apis.model import ask_for_maps, input_size
from mixmae_mm.evaluation.dense import each_image
from mixmae_mm.evaluation.functional.dense_probe import classify_pixels, label_counts
from mixmae_mm.evaluation.masked_images import Masked
from mixmae_mm.utils.arguments import counted
from mixmae_mm.utils.names import expand
from mixmae_mm.utils.seed import seeded
from mixmae_mm.visualization import Panel, draw_grid

IGNORED = 255  # shade of pixels without a label


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this drawing."""
    for name, text in (('train', 'images to train on'), ('images', 'images to draw')):
        parser.add_argument(f'--{name}', type=expand, required=True, help=f'folder of {text}')
    for name, what in (('train-masks', '--train'), ('masks', '--images')):
        parser.add_argument(f'--{name}', type=expand, required=True, help=f'folder of the masks of {what}')
    parser.add_argument(
        '--stages', type=int, nargs='+', help='stages or blocks whose maps are concatenated (the last map)'
    )
    parser.add_argument('--img-suffix', default='', help='suffix of image names, if it is more than an extension')
    parser.add_argument('--seg-map-suffix', default='.png', help='suffix of mask names (%(default)s)')
    parser.add_argument('--ignore-index', type=int, default=255, help='label of pixels that do not count')
    parser.add_argument('--num-train', type=counted, default=1000, help='most images to train on (%(default)s)')
    parser.add_argument('--num-images', type=counted, default=6, help='images to draw at most (%(default)s)')
    add_size(parser)


def evenly_spaced(pairs: Masked, count: int) -> Masked:
    """Take at most `count` images, evenly spaced, because they may be sorted by class."""
    chosen = np.linspace(0, len(pairs) - 1, min(count, len(pairs))).astype(int)
    listed = list(pairs.items())
    return dict(listed[i] for i in chosen)


@torch.no_grad()
def predict(
    extract: FeatureExtractor, train: Masked, asked: Masked, classes: int, args: argparse.Namespace
) -> tuple[Tensor, Tensor, Tensor]:
    """Fit the classifier, and return images (B, C, H, W), labels and predictions (B, H, W)."""

    def encode(pixels: Tensor) -> list[Tensor]:
        return evaluation.normalize_patches(extract.maps(pixels)) if args.stages else extract.maps(pixels)[-1:]

    probe, settings = evaluation.RidgeProbe(classes), (classes, args.ignore_index)
    for maps, labels in each_image(encode, evaluation.read_masked(train, extract.read, train, *settings)):
        grid = tuple(maps.shape[1:])
        probe.add(maps.flatten(1).T, label_counts(labels, grid, *settings))
    batches = list(evaluation.read_masked(asked, extract.read, asked, *settings))
    scores = [probe.score(maps.flatten(1).T) for maps, _ in each_image(encode, batches)]
    images, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    predicted = [classify_pixels(one, grid, tuple(labels.shape[1:])) for one in scores]
    return images, labels, torch.stack(predicted)


def paint(labels: Tensor, classes: int) -> np.ndarray:
    """Color each pixel by its class: (H, W) -> uint8 (H, W, 3)."""
    colors = np.array(colormaps['tab20' if classes <= 20 else 'gist_ncar'](np.linspace(0, 1, classes)))[:, :3]
    colors = np.vstack([(255 * colors).round(), np.full((1, 3), IGNORED)]).astype(np.uint8)
    return colors[np.where(labels.numpy() < classes, labels.numpy(), classes)]


def draw(args: argparse.Namespace, config: Config) -> tuple[Image.Image, str]:
    """Return the image grid, and a summary."""
    ask_for_maps(config, args.stages)
    size = input_size(config, args.image_size)
    with seeded(args.seed):  # for the untrained encoder
        extractors = {
            title: FeatureExtractor.from_config(config, file, image_size=size, device=args.device)
            for title, file in (('untrained', None), ('trained', args.checkpoint))
        }
    names = extractors['trained'].read.image_loader.extensions, args.img_suffix, args.seg_map_suffix
    train = evenly_spaced(evaluation.pair_masks(args.train, args.train_masks, *names), args.num_train)
    asked = evenly_spaced(evaluation.pair_masks(args.images, args.masks, *names), args.num_images)
    classes = evaluation.count_classes(train, args.ignore_index)
    found = {title: predict(extract, train, asked, classes, args) for title, extract in extractors.items()}
    images, labels, _ = found['trained']
    rows = []
    for i, image in enumerate(extractors['trained'].as_shown(images)):
        counted_pixels = labels[i] != args.ignore_index
        row = [Panel(image, 'image'), Panel(paint(labels[i], classes), 'labels')]
        for title, (*_, predicted) in found.items():
            right = (predicted[i] == labels[i])[counted_pixels].float().mean()
            row.append(Panel(paint(predicted[i], classes), title, f'{right:.0%} right'))
        rows.append(row)
    caption = f'A linear classifier on frozen patch features, trained on {len(train):,} images with masks.'
    return draw_grid(rows, caption), f'{len(rows)} image(s), {classes} classes'
