"""Draw what docs/how-it-works.md explains, by the functions that train: mixtures, masks of attention, keys kept.

    python tools/visualization/how_it_works.py --out docs/images [--mixedae CONFIG CHECKPOINT]

Scenes are made up (make_shapes.py), so nothing has to be there. With a pre-trained MixedAE a last panel shows which
keys it keeps, beside those that it kept before training.
Letters: K sources, C channels, H x W pixels, N tokens.
"""

import argparse
import runpy
from collections.abc import Sequence
from pathlib import Path

import mixmae_mm
from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

import matplotlib
import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor

from mixmae_mm.checkpoint.loading import load_pretrainer
from mixmae_mm.mixing import MixedImages, homologous, mix_images, random_assignment, resize_assignment, visible
from mixmae_mm.models.utils.attention import split_heads
from mixmae_mm.utils.errors import check_checkpoint, readable_errors

matplotlib.use('Agg')

# isort: split
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.patches import Rectangle

ROOT = Path(__file__).resolve().parents[2]
MICRO = 'configs/mixedae/mixedae_vit-micro-p8_1xb64-coslr-40e_imagenette-96px.py'
COLORS = ('#0064c8', '#f09600', '#00a05a', '#d23ca0')
HIDDEN = 0.75  # the gray of what is not shown
STRIDES = (4, 8, 16, 32)  # of MixMIMSwin's stages
WINDOWS = (14, 14, 14, 7)  # tokens a side
MIXMAE, MIXEDAE = 'how_mixmae_works.png', 'how_mixedae_works.png'
DRAWING = dict(layout='constrained', dpi=80)


def scenes(count: int, side: int) -> Tensor:
    """Make up scenes: floats from 0 to 1, (K, 3, H, W)."""
    draw_scene = runpy.run_path(str(ROOT / 'tools/dataset_tools/make_shapes.py'))['draw_scene']
    images = np.stack([draw_scene(3, 0, index, side).image for index in range(count)])
    return torch.from_numpy(images).permute(0, 3, 1, 2) / 255


def show(axes: Axes, image: Tensor, title: str, color: str | None = None) -> None:
    """Draw an image (3, H, W), framed in its source's color."""
    axes.imshow(image.permute(1, 2, 0).clamp(0, 1).numpy(), interpolation='nearest')
    _finish(axes, title)
    for spine in axes.spines.values():
        spine.set(visible=color is not None, color=color, linewidth=4)


def show_map(axes: Axes, assignment: Tensor, title: str) -> None:
    """Draw whose each cell is: (h, w), its numbers in the cells."""
    axes.imshow(assignment.numpy(), cmap=ListedColormap(COLORS), vmin=0, vmax=len(COLORS) - 1)
    if len(assignment) <= 7:
        for (row, column), source in np.ndenumerate(assignment.numpy()):
            axes.text(column, row, source + 1, ha='center', va='center', color='white', fontsize=9)
    _finish(axes, title)


def _finish(axes: Axes, title: str) -> None:
    """Put the title on, take the ticks off."""
    axes.set_title(title, fontsize=10)
    axes.set_xticks([])
    axes.set_yticks([])


def window_mask(assignment: Tensor, side: int, stride: int, window: int) -> Tensor:
    """Tell which tokens of a stage's first window see each other: cells (h, w) -> bool (window**2, window**2)."""
    tokens = resize_assignment(assignment[None], (side // stride, side // stride))
    return homologous(tokens[:, :window, :window].flatten(1))[0]


def draw_mixmae(images: Tensor, seed: int) -> pyplot.Figure:
    """Draw two sources, their mixture, what each still shows, and the attention masks of the four stages."""
    side = images.shape[-1]
    assignment = random_assignment(1, (side // 32, side // 32), 2, generator=torch.Generator().manual_seed(seed))
    mixed = mix_images(images[None], assignment)[0]
    figure, panels = pyplot.subplots(2, 6, figsize=(12, 4.6), **DRAWING)
    for k, image in enumerate(images):
        show(panels[0, k], image, f'source {k + 1}', COLORS[k])
        shown = resize_assignment(visible(assignment, 2)[:, k].long(), (side, side))
        show(panels[0, k + 4], torch.where(shown == 1, image, HIDDEN), f'decoder input {k + 1}', COLORS[k])
    show_map(panels[0, 2], assignment[0], 'assignment')
    show(panels[0, 3], mixed, 'what the encoder sees')
    for axes, stride, window in zip(panels[1], STRIDES, WINDOWS, strict=False):
        axes.imshow(window_mask(assignment[0], side, stride, window), cmap='gray_r', vmin=0, vmax=1.6)
        _finish(axes, f'stride {stride}: who sees whom\n({window**2} tokens, a window)')
    for axes in panels[1, 4:]:
        axes.set_axis_off()
    legend = 'Dark: a query (row) and a key (column)\nof the same source. White: hidden from\neach other.'
    panels[1, 4].text(0, 0.9, legend, va='top', transform=panels[1, 4].transAxes, fontsize=10, in_layout=False)
    return figure


def kept_keys(model: BaseModel, images: MixedImages, block: int) -> Tensor:
    """Ask a block's attention which patches each patch keeps, over all heads: share of heads, (N, N)."""
    kept = []

    def ask(attention: torch.nn.Module, given: tuple) -> None:
        query, key, _ = split_heads(attention.qkv(given[0]), attention.num_heads)
        kept.append(given[1](query, key)[0, :, 1:, 1:].float().mean(dim=0))

    hook = model.backbone.blocks[block].attn.register_forward_pre_hook(ask)
    with torch.no_grad():
        model.encode(images)
    hook.remove()
    return kept[0]


def load_mixedae(file: str, checkpoint: str | None) -> BaseModel:
    """Build a config's MixedAE, trained if there is a checkpoint.

    Raises:
        ValueError: the checkpoint is missing, or of another model.
    """
    config = Config.fromfile(file)
    init_default_scope(config.default_scope)
    model = MODELS.build(config.model).eval()
    if checkpoint:
        check_checkpoint(checkpoint)
        load_pretrainer(model, checkpoint)
    return model


def draw_mixedae(models: dict[str, BaseModel], seed: int) -> pyplot.Figure:
    """Draw four sources, map, mixture, and the patches that one patch keeps as keys in the last block of each model."""
    model = next(iter(models.values()))
    cell = model.data_preprocessor.cell_size
    side = model.backbone.grid[0] * cell
    torch.manual_seed(seed)
    pixels = scenes(model.data_preprocessor.num_sources, side)
    images = model.data_preprocessor.mix(model.data_preprocessor.normalize(pixels * 255))
    mixed, owners = model.data_preprocessor.denormalize(images.mixed)[0] / 255, images.assignment[0]
    figure, panels = pyplot.subplots(1, 6 + len(models), figsize=(2 * (6 + len(models)), 2.8), **DRAWING)
    for k, image in enumerate(pixels):
        show(panels[k], image, f'source {k + 1}', COLORS[k])
    show_map(panels[4], owners, 'assignment')
    show(panels[5], mixed, 'mixture')
    for axes, (name, trained) in zip(panels[6:], models.items(), strict=True):
        share = kept_keys(trained, images, len(trained.backbone.blocks) - 1)
        draw_keys(axes, mixed, owners, share, cell, name)
    return figure


def draw_keys(axes: Axes, mixed: Tensor, owners: Tensor, share: Tensor, cell: int, name: str) -> None:
    """Frame the patches that one patch keeps in the colors of their sources; the others fade."""
    query = len(share) // 2 + owners.shape[1] // 2
    best = share[query].topk(round(len(share) / 4)).indices
    chosen = torch.zeros(len(share), dtype=torch.bool)
    chosen[best] = True
    pixels = resize_assignment(chosen.view(1, *owners.shape).long(), tuple(mixed.shape[-2:])).bool()
    right = (owners.flatten()[best] == owners.flatten()[query]).float().mean()
    show(axes, torch.where(pixels, mixed, 0.8 + 0.2 * mixed), f'{name}: keys of a patch,\n{right:.0%} of its source')
    for number in [*best.tolist(), query]:
        row, column = divmod(number, owners.shape[1])
        style = dict(fill=False, edgecolor=COLORS[owners[row, column]], linewidth=4 if number == query else 1.5)
        axes.add_patch(Rectangle((column * cell - 0.5, row * cell - 0.5), cell, cell, **style))


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw both images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=Path('docs/images'), help='folder to write into')
    parser.add_argument('--mixedae', nargs=2, metavar=('CONFIG', 'CHECKPOINT'), help='a pre-trained MixedAE')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--debug', action='store_true')
    args = parser.parse_args(arguments)
    with readable_errors(args.debug):
        torch.manual_seed(args.seed)  # of the untrained model
        config, checkpoint = args.mixedae or (str(ROOT / MICRO), None)
        models = {'untrained': load_mixedae(config, None)}
        if checkpoint:
            models['trained'] = load_mixedae(config, checkpoint)
        args.out.mkdir(parents=True, exist_ok=True)
        draw_mixmae(scenes(2, 224), args.seed).savefig(args.out / MIXMAE)
        draw_mixedae(models, args.seed).savefig(args.out / MIXEDAE)
    print(f'{args.out}: {MIXMAE}, {MIXEDAE} (mixmae_mm {mixmae_mm.__version__})')


if __name__ == '__main__':
    main()
