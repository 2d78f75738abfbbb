"""Draw what a pre-trained model makes of pictures: originals, their mixture, whose cell is whose, reconstructions.

    python tools/visualization/reconstructions.py CONFIG CHECKPOINT [--pictures FOLDER_OR_FILES] [--out out.png]

One row a group of K pictures; for MAE one picture, what was not hidden of it, and its reconstruction.
Letters: G groups, K sources, C channels, H x W pixels.
"""

import argparse
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import mixmae_mm  # before the host packages: it mends what is known to break on import

# isort: split
import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import load_checkpoint
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from mixmae_mm.datasets import LoadPicture, PictureFolder
from mixmae_mm.failures import check_checkpoint, readable_errors
from mixmae_mm.launching import Settings
from mixmae_mm.mixing import NOBODY, resize_assignment, visible
from mixmae_mm.models.pretrainer import Reconstructions
from mixmae_mm.seeding import seed_everything

GAP, HEADER, LINE = 10, 28, 18  # pixels between panels, above them, and for a line of the caption
FRAME = 3  # pixels of a frame, which lies around its panel
PANEL = 128  # the least side of a panel
BLUE, GREY = (31, 78, 121), (90, 90, 90)
HIDDEN = 190  # the grey of cells that show nobody: to the model they have the mean colour, which looks like a picture's
TINT = 0.65  # how much of a cell of the map is its source's colour; the rest is what it shows, without colours
# of the sources: saturated, and apart in more than lightness, which the map takes from the picture; repeated after 8
COLOURS = (
    (0, 100, 200),
    (240, 150, 0),
    (0, 160, 90),
    (210, 60, 160),
    (210, 30, 20),
    (235, 230, 0),
    (0, 190, 210),
    (120, 60, 220),
)
Colour = tuple[int, int, int]


class Panel(NamedTuple):
    """One picture of a row, (C, H, W), uint8."""

    title: str
    picture: Tensor
    frame: Colour | None = None


# -- the picture ------------------------------------------------------------------------------------------------------


def panels_of(result: Reconstructions) -> list[list[Panel]]:
    """List the panels of each row: originals, what the encoder saw, which cell is whose, reconstructions."""
    owners = resize_assignment(result.assignment, tuple(result.mixed.shape[-2:])).expand(len(result.mixed), -1, -1)
    mixed = torch.where(owners[:, None] == NOBODY, HIDDEN, result.mixed)
    maps = tint(result.mixed, owners)
    return [
        [
            *_per_source('original', result.sources[g]),
            *_middle(mixed[g], maps[g], result.sources.shape[1]),
            *_per_source('reconstruction', result.reconstructed[g]),
        ]
        for g in range(len(mixed))
    ]


def _per_source(title: str, pictures: Tensor) -> list[Panel]:
    """Make a panel for each source (K, C, H, W), numbered and framed in its colour if there are several."""
    if len(pictures) == 1:
        return [Panel(title, pictures[0])]
    return [Panel(f'{title} {k + 1}', picture, colour_of(k)) for k, picture in enumerate(pictures)]


def _middle(mixed: Tensor, whose: Tensor, num_sources: int) -> list[Panel]:
    """Make the panels of what the encoder saw; one source needs no map of whose cell is whose."""
    return [Panel('encoder sees', mixed)] if num_sources == 1 else [Panel('mixture', mixed), Panel('whose cell', whose)]


def colour_of(source: int) -> Colour:
    """Give the colour that stands for a source."""
    return COLOURS[source % len(COLOURS)]


def tint(mixed: Tensor, owners: Tensor) -> Tensor:
    """Colour each pixel by its owner, grey for nobody: uint8 (G, C, H, W) and (G, H, W) -> uint8 (G, 3, H, W)."""
    colours = torch.tensor([colour_of(k) for k in range(int(owners.max()) + 1)], device=mixed.device)
    shown = TINT * colours[owners.clamp(min=0)].permute(0, 3, 1, 2) + (1 - TINT) * mixed.float().mean(1, keepdim=True)
    return torch.where(owners[:, None] == NOBODY, HIDDEN, shown.round()).to(torch.uint8)


def panel_place(row: int, column: int, size: tuple[int, int]) -> tuple[int, int]:
    """Give the upper left corner (x, y) of a panel of `size` = (width, height)."""
    return GAP + column * (size[0] + GAP), HEADER + row * (size[1] + GAP)


def _to_image(picture: Tensor) -> Image.Image:
    """Enlarge a picture (C, H, W) by a whole number, each pixel a block, so that it stays crisp."""
    pixels = picture.permute(1, 2, 0).cpu().numpy()
    factor = max(1, math.ceil(PANEL / min(pixels.shape[:2])))
    return Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).resize(
        (pixels.shape[1] * factor, pixels.shape[0] * factor), Image.Resampling.NEAREST
    )


def draw_rows(result: Reconstructions, caption: str) -> Image.Image:
    """Draw one row a mixture, with titles above and a caption below."""
    rows = panels_of(result)
    size = _to_image(rows[0][0].picture).size
    width, bottom = panel_place(len(rows), len(rows[0]), size)
    lines = textwrap.wrap(caption, width // 6)
    canvas = Image.new('RGB', (width, bottom + LINE * len(lines) + GAP), 'white')
    for row, panels in enumerate(rows):
        for column, panel in enumerate(panels):
            _put(canvas, panel, panel_place(row, column, size))
    _write(canvas, [panel.title for panel in rows[0]], size[0], lines, bottom)
    return canvas


def _put(canvas: Image.Image, panel: Panel, place: tuple[int, int]) -> None:
    """Put a panel in its place, and its frame around it."""
    image = _to_image(panel.picture)
    if panel.frame is not None:
        corners = (place[0] - FRAME, place[1] - FRAME, place[0] + image.width + FRAME, place[1] + image.height + FRAME)
        canvas.paste(panel.frame, corners)
    canvas.paste(image, place)


def _write(canvas: Image.Image, titles: list[str], width: int, lines: list[str], bottom: int) -> None:
    """Put the titles above the panels and the caption below them."""
    draw = ImageDraw.Draw(canvas)
    for column, title in enumerate(titles):
        x = panel_place(0, column, (width, 0))[0] + width / 2
        draw.text((x, (HEADER - FRAME) / 2), title, BLUE, ImageFont.load_default(14), anchor='mm')
    for number, line in enumerate(lines):
        draw.text((GAP, bottom + LINE * number), line, GREY, ImageFont.load_default(12))


# -- what is drawn ----------------------------------------------------------------------------------------------------


def load_model(config: Config, checkpoint: str) -> BaseModel:
    """Build a pre-training model and fill it from a checkpoint.

    Raises:
        ValueError: the config is of no model that mixes, or the checkpoint is of another model.
    """
    if 'head' not in config.model or 'num_sources' not in config.model.get('data_preprocessor', {}):
        raise ValueError(f'{config.filename} is no pre-training config: its model mixes nothing that could be restored')
    check_checkpoint(checkpoint)
    init_default_scope(config.get('default_scope', 'mmpretrain'))
    model = MODELS.build(config.model)
    try:
        load_checkpoint(model, checkpoint, map_location='cpu', strict=True, logger='silent')
    except RuntimeError as error:
        raise ValueError(f'{checkpoint} is of another model than {config.filename}: {error}') from error
    return model.to('cuda' if torch.cuda.is_available() else 'cpu').eval()


def picture_size(config: Config) -> tuple[int, int]:
    """Tell the height and width that the model is made for."""
    side = config.model.backbone.get('img_size', config.get('image_size', 224))
    return (side, side) if isinstance(side, int) else tuple(side)


def own_pictures(config: Config) -> list[str]:
    """Name the folder that a config trains on.

    Raises:
        ValueError: it names none.
    """
    folder = config.get('train_dataloader', {}).get('dataset', {}).get('data_root')
    if not folder:
        raise ValueError(f'{config.filename} names no train_dataloader.dataset.data_root: give --pictures')
    return [folder]


def find_pictures(places: Sequence[str], wanted: int, num_sources: int, seed: int) -> list[str]:
    """List the pictures to show: those named, and those below folders; if more than wanted, a seeded choice of them.

    Raises:
        ValueError: a place does not exist, or there are fewer pictures than sources in a mixture.
    """
    found = [path for place in places for path in ([place] if Path(place).is_file() else _below(place))]
    if len(found) > wanted:
        chosen = np.random.default_rng(seed).choice(len(found), wanted, replace=False)
        found = [found[i] for i in chosen]
    if len(found) < num_sources:
        raise ValueError(f'{len(found)} picture(s) cannot be mixed by {num_sources}: give {num_sources} or more')
    return found[: len(found) // num_sources * num_sources]


def _below(folder: str) -> list[str]:
    """List the pictures below a folder."""
    dataset = PictureFolder(folder)
    return [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]


def read_pictures(paths: Sequence[str], size: tuple[int, int], channels: int) -> Tensor:
    """Read pictures, scaled and cropped in the middle to `size` = (H, W): float (B, C, H, W), 0 to 255.

    Raises:
        ValueError: pictures cannot be read, or have other channels than grey or RGB.
    """
    if channels not in (1, 3):
        raise ValueError(f'pictures of 1 or 3 channels can be drawn, this model takes {channels}')
    load = LoadPicture('L' if channels == 1 else 'RGB')
    images = (Image.fromarray(load.transform(dict(img_path=path))['img']) for path in paths)
    arrays = [np.array(ImageOps.fit(image, size[::-1], Image.Resampling.BICUBIC)) for image in images]
    return torch.from_numpy(np.stack(arrays).reshape(len(arrays), *size, channels)).permute(0, 3, 1, 2).float()


@torch.no_grad()
def reconstruct(model: BaseModel, pictures: Tensor, seed: int) -> Reconstructions:
    """Mix pictures (B, C, H, W), RGB, and reconstruct them: one mixture a group, led by its first picture."""
    seed_everything(seed)
    preprocessor = model.data_preprocessor
    pictures = pictures.flip(1) if preprocessor.bgr_to_rgb else pictures
    result = model(**preprocessor({'inputs': pictures}, training=False), mode='predict')
    turns = preprocessor.num_sources if preprocessor.take_turns else 1
    grids = result.assignment[::turns]
    return Reconstructions(result.sources[::turns], result.mixed[::turns], result.reconstructed[::turns], grids)


def describe(model: BaseModel, result: Reconstructions) -> str:
    """Say what is predicted and what is not."""
    text = f'{_mixture(model.head.cell_size, result)} Reconstructions copy what the encoder sees and predict the rest.'
    if model.head.norm_pix:
        text += ' Predicted pixels are normalised: mean and spread of each hidden cell come from the original.'
    return text


def _mixture(cell_size: int, result: Reconstructions) -> str:
    """Say how much is hidden of whom."""
    num_sources = result.sources.shape[1]
    nobodys = (result.assignment == NOBODY).float().mean().item()
    if num_sources == 1:
        return f'Cells of {cell_size} px, {nobodys:.0%} of them hidden (grey).'
    shown = visible(result.assignment, num_sources).float().mean((0, 2, 3))
    hidden = [f'{1 - share:.0%}' for share in shown.tolist()]
    each = f'{hidden[0]} of each' if len(set(hidden)) == 1 else f'{", ".join(hidden)} of originals 1 to {num_sources}'
    rest = f' {nobodys:.0%} of the cells show nobody (grey).' if nobodys else ''
    text = f'{num_sources} pictures a mixture, cells of {cell_size} px, {each} hidden.{rest}'
    return f"{text} A frame's colour tells whose a cell is."


# -- command line -----------------------------------------------------------------------------------------------------


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=f'Draw reconstructions (mixmae_mm {mixmae_mm.__version__})')
    parser.add_argument('config', help='config of the pre-training')
    parser.add_argument('checkpoint', help='checkpoint that it wrote')
    parser.add_argument('--pictures', nargs='+', help="folders or files (the config's own training pictures)")
    parser.add_argument('--out', type=Path, default=Path('reconstructions.png'), help='picture to write (%(default)s)')
    parser.add_argument('--num', type=int, default=6, help='rows, a mixture each (%(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='decides pictures and mixtures (%(default)s)')
    parser.add_argument('--cfg-options', nargs='+', action=Settings, help='config settings to override: a.b=value')
    parser.add_argument('--debug', action='store_true', help='show errors with their whole traceback')
    args = parser.parse_args(arguments)
    if args.num < 1 or args.seed < 0:
        parser.error(f'--num {args.num} --seed {args.seed}: give 1 or more rows and no negative seed')
    return args


def main(arguments: list[str] | None = None) -> None:
    """Load, reconstruct, draw, write."""
    args = parse_args(arguments)
    with readable_errors(args.debug):
        config = Config.fromfile(args.config)
        config.merge_from_dict(args.cfg_options or {})
        model = load_model(config, args.checkpoint)
        num_sources = model.data_preprocessor.num_sources
        places = args.pictures or own_pictures(config)
        paths = find_pictures(places, args.num * num_sources, num_sources, args.seed)
        pictures = read_pictures(paths, picture_size(config), len(model.data_preprocessor.mean))
        result = reconstruct(model, pictures, args.seed)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        draw_rows(result, describe(model, result)).save(args.out)
    what = 'picture(s)' if num_sources == 1 else f'mixture(s) of {num_sources} pictures each'
    print(f'{args.out}: {len(result.mixed)} {what}')


if __name__ == '__main__':
    main()
