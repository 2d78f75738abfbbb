"""Draw originals, their mixture, the source of each cell, and reconstructions: a row for each mixture."""

import argparse

import torch
from drawing import add_images, add_number, choose
from mmengine.config import Config
from mmengine.model import BaseModel
from PIL import Image
from torch import Tensor

from mixmae_mm.apis.model import build_pretrainer, input_size
from mixmae_mm.apis.reconstruction_inferencer import mix_otherwise, reconstruct
from mixmae_mm.datasets.image_reader import image_loader_of
from mixmae_mm.structures import Reconstructions
from mixmae_mm.utils.arguments import counted
from mixmae_mm.visualization import describe, draw_rows, flattery, masked_labels


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this drawing."""
    add_images(parser)
    add_number(parser, 'mixtures', 6)
    parser.add_argument('--num-sources', type=counted, help="images per mixture, in equal shares (the config's)")
    ratio = parser.add_mutually_exclusive_group()
    ratio.add_argument('--mask-ratio', type=float, help="masking ratio of a mixture's first image (the config's)")
    ratio.add_argument('--ratios', type=float, nargs='+', help='several masking ratios, each a row per mixture')


def reconstruct_at(model: BaseModel, images: Tensor, ratios: list[float | None], seed: int) -> Reconstructions:
    """Reconstruct every group of images (B, C, H, W) once for each ratio, with the rows of a group in sequence."""
    results = []
    for ratio in ratios:
        mix_otherwise(model, mask_ratio=ratio)
        results.append(reconstruct(model, images, seed))
    groups = len(results[0].mixed)
    parts = zip(*results, strict=True)
    # an assignment that all mixtures share is repeated, because it differs between ratios
    return Reconstructions(
        *(torch.stack([x.expand(groups, *x.shape[1:]) for x in part], 1).flatten(0, 1) for part in parts)
    )


def draw(args: argparse.Namespace, config: Config) -> tuple[Image.Image, str]:
    """Return the image grid and a summary."""
    model, image_loader = build_pretrainer(config, args.checkpoint, args.device), image_loader_of(config)
    ratios = args.ratios or [args.mask_ratio]
    mix_otherwise(model, args.num_sources, ratios[0])
    num_sources = model.data_preprocessor.num_sources
    files = choose(args, config, image_loader, args.num_mixtures, num_sources)
    images = image_loader.read_all(files, input_size(config)).float()
    result = reconstruct_at(model, images, ratios, args.seed)
    labels = masked_labels(result) if args.ratios else ()
    summary = f'{len(images) // num_sources} mixture(s) of {num_sources} image(s) each. {flattery(model)}'
    return draw_rows(result, describe(model, result, bool(labels)), labels), summary
