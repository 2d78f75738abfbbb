"""Draw what a pre-trained model makes of images: originals, their mixture, whose cell is whose, reconstructions.

    python tools/visualization/reconstructions.py CONFIG CHECKPOINT [--images FOLDER_OR_FILES] [--out out.png]
    python tools/visualization/reconstructions.py CONFIG CHECKPOINT --ratios 0.25 0.5 0.75    # a row each

One row a group of K images; for MAE one image, what was not masked of it, and its reconstruction.
"""

import argparse

import mixmae_mm
from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

import torch
from mmengine.model import BaseModel
from torch import Tensor

from mixmae_mm.apis.drawing_options import add_images, choose, drawing_parser, read_config
from mixmae_mm.apis.model import build_pretrainer, input_size
from mixmae_mm.apis.reconstruction_inferencer import mix_otherwise, reconstruct
from mixmae_mm.datasets.image_reader import reading_of
from mixmae_mm.structures import Reconstructions
from mixmae_mm.utils.arguments import counted
from mixmae_mm.utils.errors import readable_errors
from mixmae_mm.visualization import describe, draw_rows, flattery, masked_labels


def reconstruct_at(model: BaseModel, images: Tensor, ratios: list[float], seed: int) -> Reconstructions:
    """Reconstruct every group of images (B, C, H, W) once for each ratio, the rows of a group one after another."""
    results = []
    for ratio in ratios:
        mix_otherwise(model, mask_ratio=ratio)
        results.append(reconstruct(model, images, seed))
    groups = len(results[0].mixed)
    parts = zip(*results, strict=True)
    # a map that all mixtures share is repeated, as no other ratio shares it
    return Reconstructions(
        *(torch.stack([x.expand(groups, *x.shape[1:]) for x in part], 1).flatten(0, 1) for part in parts)
    )


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = drawing_parser(f'Draw reconstructions (mixmae_mm {mixmae_mm.__version__})', 'reconstructions.png')
    add_images(parser)
    parser.add_argument('--num-images', type=counted, help='mixtures to draw (6, or 2 with --ratios)')
    parser.add_argument('--num-sources', type=counted, help="images a mixture, in equal shares (the config's)")
    hidden = parser.add_mutually_exclusive_group()
    hidden.add_argument('--mask-ratio', type=float, help="share of a mixture's first image to hide (the config's)")
    hidden.add_argument('--ratios', type=float, nargs='+', help='several of them, a row of each mixture for each')
    args = parser.parse_args(arguments)
    args.num_images = args.num_images or (2 if args.ratios else 6)
    return args


def main(arguments: list[str] | None = None) -> None:
    """Load, reconstruct, draw, write."""
    args = parse_args(arguments)
    with readable_errors(args.debug):
        config = read_config(args)
        model = build_pretrainer(config, args.checkpoint)
        ratios = args.ratios or [args.mask_ratio]
        mix_otherwise(model, args.num_sources, ratios[0])
        num_sources = model.data_preprocessor.num_sources
        reading = reading_of(config)
        paths = choose(args, config, reading, num_sources)
        images = reading.read_all(paths, input_size(config)).float()
        result = reconstruct_at(model, images, ratios, args.seed)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        labels = masked_labels(result) if args.ratios else ()
        draw_rows(result, describe(model, result, bool(labels)), labels).save(args.out)
    what = 'image(s)' if num_sources == 1 else f'mixture(s) of {num_sources} images each'
    print(f'{args.out}: {len(paths) // num_sources} {what}. {flattery(model)}'.rstrip())


if __name__ == '__main__':
    main()
