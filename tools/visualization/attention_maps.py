"""Draw where an encoder looks: the attention of CLS, of a patch, or what patches receive, as heat maps over images.

    python tools/visualization/attention_maps.py CONFIG CHECKPOINT --images FOLDER_OR_FILES
    python tools/visualization/attention_maps.py CONFIG CHECKPOINT --query 0.3,0.6 --block 0 2 -1
    python tools/visualization/attention_maps.py CONFIG CHECKPOINT --mix    # of mixtures, as in pre-training

One row an image (and query). One block: the mean of its heads, then each head; several blocks: the mean of each. A
plain ViT shows its CLS token, an encoder without CLS how much each patch receives from the others of its window.
"""

import argparse
from collections.abc import Iterator
from typing import NamedTuple

import mixmae_mm
from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor

from mixmae_mm.apis.attention_maps import Attended, attention_of
from mixmae_mm.apis.drawing_options import (
    add_images,
    add_size,
    choose,
    drawing_parser,
    middle_of,
    patch_at,
    point,
    read_config,
)
from mixmae_mm.apis.feature_extractor import FeatureExtractor
from mixmae_mm.apis.model import build_pretrainer, input_size
from mixmae_mm.apis.reconstruction_inferencer import mix_once
from mixmae_mm.datasets.image_reader import reading_of
from mixmae_mm.mixing import NOBODY, resize_assignment
from mixmae_mm.utils.denormalize import first_three
from mixmae_mm.utils.errors import readable_errors
from mixmae_mm.visualization import Mark, Tile, draw_tiles, heat_map
from mixmae_mm.visualization.image_grid import HIDDEN, tint

QUERY = (0, 230, 255)  # the color of the ring


class Looking(NamedTuple):
    """Images or mixtures, and who looked at whom in them."""

    images: np.ndarray
    """What the encoder saw, uint8 (B, H, W, 3)."""
    beside: np.ndarray | None
    """Whose cell is whose, uint8 (B, H, W, 3), where there are mixtures."""
    blocks: dict[str, Attended]
    """By the name of each block."""


def look_at_images(args: argparse.Namespace, config: Config) -> Looking:
    """Encode images as they are."""
    size = input_size(config, args.image_size)
    extract = FeatureExtractor.from_config(config, args.checkpoint, image_size=size)
    _check_size(size, extract.encoder)
    pixels = extract.open_all(choose(args, config, extract.read.reading))
    images = extract.normalize(pixels)
    return Looking(extract.as_shown(pixels), None, attention_of(extract.encoder, images, args.block))


def look_at_mixtures(args: argparse.Namespace, config: Config) -> Looking:
    """Encode mixtures, as the pre-training does."""
    model = build_pretrainer(config, args.checkpoint)
    size = input_size(config, args.image_size)
    reading = reading_of(config)
    images = reading.read_all(choose(args, config, reading, model.data_preprocessor.num_sources), size)
    mixtures = mix_once(model.data_preprocessor, images.float(), args.seed)
    mixed = model.data_preprocessor.denormalize(mixtures.mixed)
    owners = resize_assignment(mixtures.assignment, size).expand(len(mixed), -1, -1)
    shown = _channels_last(torch.where(owners[:, None] == NOBODY, HIDDEN, mixed))
    whose = None if mixtures.sources.shape[1] == 1 else _channels_last(tint(mixed, owners))
    return Looking(shown, whose, attention_of(model.backbone, mixtures, args.block))


def _channels_last(images: Tensor) -> np.ndarray:
    """Turn (B, C, H, W) into (B, H, W, 3)."""
    return first_three(images).expand(-1, 3, -1, -1).permute(0, 2, 3, 1).cpu().numpy()


def _check_size(size: tuple[int, int], encoder: torch.nn.Module) -> None:
    """Refuse images that the encoder would pad: the maps would not lie on them.

    Raises:
        ValueError: a side is no multiple of the stride.
    """
    stride = getattr(encoder, 'stride', getattr(encoder, 'patch_size', 1))
    if any(side % stride for side in size):
        raise ValueError(f'images of {size[0]} x {size[1]} pixels: take an --image-size that is a multiple of {stride}')


def rows_of(looking: Looking, queries: list[tuple[float, float] | None], received: bool) -> Iterator[list[Tile]]:
    """Make the tiles of each image and query; None asks for CLS, or for what patches receive."""
    for number, image in enumerate(looking.images):
        for query in queries:
            marks = [] if query is None else [Mark(*_query_middle(looking, query), QUERY)]
            row = [Tile(image, '', marks)]
            row += [] if looking.beside is None else [Tile(looking.beside[number], '', marks)]
            for attended in looking.blocks.values():
                heads = _heads(attended, number, query, received)
                shown = [heads.mean(0), *heads] if len(looking.blocks) == 1 else [heads.mean(0)]
                equal, rooted = attended.equal_share(number), _is_asked(attended, query, received)
                row += [_tile(image, values, equal, rooted, marks) for values in shown]
            yield row


def _query_middle(looking: Looking, query: tuple[float, float]) -> tuple[float, float]:
    """Return the middle of the patch that is asked, on the finest grid."""
    grid = max(attended.grid for attended in looking.blocks.values())
    return middle_of(patch_at(query, grid), grid)


def _heads(attended: Attended, number: int, query: tuple[float, float] | None, received: bool) -> np.ndarray:
    """Return what is to be drawn of a block: (heads, h, w)."""
    if query is not None:
        heads = attended.of_patch(number, *patch_at(query, attended.grid))
    elif _is_asked(attended, query, received):
        heads = attended.of_cls(number)
    else:
        heads = attended.received(number)
    return heads.float().cpu().numpy()


def _is_asked(attended: Attended, query: tuple[float, float] | None, received: bool) -> bool:
    """Return whether one token is asked, a patch or CLS, rather than all."""
    return query is not None or (attended.extra > 0 and not received)


def _tile(image: np.ndarray, values: np.ndarray, equal: float, rooted: bool, marks: list[Mark]) -> Tile:
    """Draw one map, up to its largest weight, which is told in times the equal share.

    What one token looks at is drawn by the square root: it often is a few patches, and the others would be black.
    """
    largest = float(np.nanmax(values))
    power = 0.5 if rooted else 1
    return Tile(heat_map(image, values**power, 0, largest**power), f'up to {largest / equal:.1f} x', marks)


def describe(looking: Looking, query: tuple[float, float] | None, received: bool) -> str:
    """Say what the sheet shows."""
    names, attended = ', '.join(looking.blocks), next(iter(looking.blocks.values()))
    what, colors = 'What each patch receives from the patches of its window, on average', ''
    if _is_asked(attended, query, received):
        what = 'What CLS looks at' if query is None else 'What the patch in the ring looks at'
        colors = ' Colors follow the square root of shares.'
    return (
        f'{what}: {names}. Black: nothing; brightest: the largest share of the panel, told below in times what each '
        f'patch would have if all had as much.{colors} Pale: outside the window, or not seen by the encoder.'
    )


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = drawing_parser(f'Draw attention maps (mixmae_mm {mixmae_mm.__version__})', 'attention.png')
    add_images(parser, 4)
    add_size(parser)
    blocks = 'blocks, from 0 over all stages or, negative, from the end (the last; of a Swin the last of each stage)'
    parser.add_argument('--block', type=int, nargs='+', help=blocks)
    parser.add_argument('--query', type=point, nargs='+', help='patches to ask, x,y as shares of width and height')
    parser.add_argument('--received', action='store_true', help='what patches receive, also where there is CLS')
    parser.add_argument('--mix', action='store_true', help='look at mixtures, --num-images of them, as in pre-training')
    args = parser.parse_args(arguments)
    if args.query and args.received:
        parser.error('--query and --received: give one of them')
    return args


def main(arguments: list[str] | None = None) -> None:
    """Load, encode, draw, write."""
    args = parse_args(arguments)
    with readable_errors(args.debug):
        looking = (look_at_mixtures if args.mix else look_at_images)(args, read_config(args))
        rows = list(rows_of(looking, args.query or [None], args.received))
        first = ['image'] if looking.beside is None else ['mixture', 'whose cell']
        titles = list(looking.blocks)
        if len(titles) == 1:
            titles = ['mean of heads', *(f'head {head}' for head in range(len(rows[0]) - len(first) - 1))]
        args.out.parent.mkdir(parents=True, exist_ok=True)
        draw_tiles(rows, first + titles, describe(looking, (args.query or [None])[0], args.received)).save(args.out)
    print(
        f'{args.out}: {", ".join(looking.blocks)} of {len(looking.images)} {"mixture" if args.mix else "image"}(s)'
    )


if __name__ == '__main__':
    main()
