"""Draw where an encoder looks, as heat maps over images: attention of CLS or of a patch, or what patches receive.

There is one row for each image and query. It shows, for one block, the mean over heads, then each head; for several
blocks, the mean of each. By default, a plain ViT shows the attention of its CLS token, and an encoder without CLS how
much each patch receives from the other patches of its window.
"""

import argparse
from typing import NamedTuple

import numpy as np
from drawing import add_images, add_size, choose, heat_map, mark_at, point
from mmengine.config import Config
from PIL import Image

from mixmae_mm.apis.attention_maps import AttentionWeights, attention_of
from mixmae_mm.apis.feature_extractor import FeatureExtractor
from mixmae_mm.apis.model import build_pretrainer, input_size
from mixmae_mm.apis.reconstruction_inferencer import mix_once
from mixmae_mm.datasets.image_reader import image_loader_of
from mixmae_mm.utils.arguments import counted
from mixmae_mm.visualization import Panel, draw_grid
from mixmae_mm.visualization.image_grid import Color, mixture_panels

QUERY: Color = (0, 230, 255)
NUMBER = 4  # images or mixtures to draw at most
Point = tuple[float, float]


class Looking(NamedTuple):
    """Images or mixtures, and the attention in them."""

    panels: list[list[Panel]]
    """What the encoder saw, and for mixtures the source of each cell."""
    blocks: dict[str, AttentionWeights]
    """Attention by the name of the block."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this drawing."""
    add_images(parser)
    add_size(parser)
    blocks = 'blocks, from 0 over all stages or, if negative, from the end (the last; for a Swin, that of each stage)'
    parser.add_argument('--block', type=int, nargs='+', help=blocks)
    asked = parser.add_mutually_exclusive_group()
    asked.add_argument('--query', type=point, nargs='+', help='patches as queries: x,y, fractions of width and height')
    asked.add_argument('--received', action='store_true', help='what patches receive, even with a CLS token')
    parser.add_argument('--mix', action='store_true', help='draw mixtures, as in pre-training')
    for what, when in (('images', 'without'), ('mixtures', 'with')):
        text = f'{what} to draw at most, {when} --mix ({NUMBER})'
        parser.add_argument(f'--num-{what}', type=counted, help=text)


def look_at_images(args: argparse.Namespace, config: Config, size: tuple[int, int]) -> Looking:
    """Encode images as they are."""
    extract = FeatureExtractor.from_config(config, args.checkpoint, image_size=size, device=args.device)
    stride = getattr(extract.encoder, 'stride', getattr(extract.encoder, 'patch_size', 1))
    if any(side % stride for side in size):  # padding would shift the maps
        raise ValueError(f'images of {size[0]} x {size[1]} pixels: --image-size must be a multiple of {stride}')
    pixels = extract.open_all(choose(args, config, extract.read.image_loader, args.num_images or NUMBER))
    panels = [[Panel(image, 'image')] for image in extract.as_shown(pixels)]
    return Looking(panels, attention_of(extract.encoder, extract.normalize(pixels), args.block))


def look_at_mixtures(args: argparse.Namespace, config: Config, size: tuple[int, int]) -> Looking:
    """Encode mixtures, as the pre-training does."""
    model, image_loader = build_pretrainer(config, args.checkpoint, args.device), image_loader_of(config)
    num_sources = model.data_preprocessor.num_sources
    files = choose(args, config, image_loader, args.num_mixtures or NUMBER, num_sources)
    images = image_loader.read_all(files, size)
    mixtures = mix_once(model.data_preprocessor, images.float(), args.seed)
    panels = mixture_panels(model.data_preprocessor.denormalize(mixtures.mixed), mixtures.assignment)
    shown = [pair[: 1 if num_sources == 1 else 2] for pair in panels]
    seen = mixtures if getattr(model, 'masked_attention', True) else mixtures.mixed
    return Looking(shown, attention_of(model.backbone, seen, args.block))


def is_query(attention: AttentionWeights, query: Point | None, received: bool) -> bool:
    """Return whether a map shows one query, a patch or CLS, rather than what patches receive."""
    return query is not None or (attention.extra > 0 and not received)


def heads_of(attention: AttentionWeights, number: int, query: Point | None, received: bool) -> np.ndarray:
    """Return the attention maps of an image, one for each head: (heads, h, w)."""
    if query is not None:
        mark = mark_at(query, attention.grid, QUERY)
        heads = attention.of_patch(number, mark.row, mark.column)
    else:
        heads = attention.of_cls(number) if is_query(attention, query, received) else attention.received(number)
    return heads.float().cpu().numpy()


def row_of(looking: Looking, number: int, query: Point | None, received: bool) -> list[Panel]:
    """Make the panels of one image and query; None stands for CLS, or for what patches receive.

    Maps of one query are drawn as square roots, because a few patches often have most of the weight.
    """
    finest = max(attention.grid for attention in looking.blocks.values())
    marks = [] if query is None else [mark_at(query, finest, QUERY)]
    row = [panel._replace(marks=marks) for panel in looking.panels[number]]
    image = np.broadcast_to(row[0].image, (*row[0].image.shape[:2], 3))
    for name, attention in looking.blocks.items():
        heads = heads_of(attention, number, query, received)
        maps = {name: heads.mean(0)}
        if len(looking.blocks) == 1:
            maps = {'mean of heads': heads.mean(0), **{f'head {i}': head for i, head in enumerate(heads)}}
        power = 0.5 if is_query(attention, query, received) else 1
        for title, values in maps.items():
            largest = float(np.nanmax(values))
            text = f'up to {largest / attention.equal_share(number):.1f} x'
            row.append(Panel(heat_map(image, values**power, 0, largest**power), title, text, marks=marks))
    return row


def describe(looking: Looking, query: Point | None, received: bool) -> str:
    """Return the caption of the image grid."""
    what = 'What each patch receives from the patches of its window, on average'
    if is_query(next(iter(looking.blocks.values())), query, received):
        what = f'What {"CLS" if query is None else "the framed patch"} attends to, by the square root of weights'
    return (
        f'{what}: {", ".join(looking.blocks)}. Black: nothing; brightest: the largest weight of the panel, given below '
        'as a multiple of uniform weights. Pale: outside the window, or not seen by the encoder.'
    )


def draw(args: argparse.Namespace, config: Config) -> tuple[Image.Image, str]:
    """Return the image grid and a summary."""
    if args.mix and args.num_images:
        raise ValueError('--num-images does not count mixtures: with --mix, give --num-mixtures')
    if args.num_mixtures and not args.mix:
        raise ValueError('--num-mixtures needs --mix')
    looking = (look_at_mixtures if args.mix else look_at_images)(args, config, input_size(config, args.image_size))
    queries = args.query or [None]
    rows = [row_of(looking, i, query, args.received) for i in range(len(looking.panels)) for query in queries]
    summary = f'{", ".join(looking.blocks)} of {len(looking.panels)} {"mixture" if args.mix else "image"}(s)'
    return draw_grid(rows, describe(looking, queries[0], args.received)), summary
