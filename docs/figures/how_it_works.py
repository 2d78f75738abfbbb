"""Draw the figures of docs/how-it-works.md by the functions that train: mixtures, attention masks, keys kept.

    python docs/figures/how_it_works.py [--mixedae CONFIG CHECKPOINT]

Scenes are made up, so nothing has to be there. With a pre-trained MixedAE a last panel shows the keys that it keeps.
Letters: K sources, C channels, H x W pixels, h x w = N cells.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from mixmae_mm.apis.homologous_maps import homologous_maps_of
from mixmae_mm.apis.model import build_pretrainer
from mixmae_mm.mixing import homologous, mix_images, random_assignment, resize_assignment, visible
from mixmae_mm.registry import MODELS
from mixmae_mm.structures import HomologousMaps
from mixmae_mm.utils.arguments import expanded
from mixmae_mm.utils.launching import load_config

ROOT = Path(__file__).resolve().parents[2]
MICRO = str(ROOT / 'configs/mixedae/mixedae_vit-micro-p8_1xb64-coslr-40e_imagenette-96px.py')
COLORS = ('#0064c8', '#f09600', '#00a05a', '#d23ca0')
MASKED = 0.75  # gray of what is masked
STAGES = {4: 14, 8: 14, 16: 14, 32: 7}  # stride and window of MixMIMSwin's stages
DRAWING = dict(layout='constrained', dpi=80)


def scenes(count: int, side: int) -> Tensor:
    """Make up scenes: floats from 0 to 1, (K, 3, H, W)."""
    sys.path.append(str(ROOT / 'tools/dataset_tools'))
    from materials.scenes import draw_scene

    images = np.stack([draw_scene(3, 0, index, side).image for index in range(count)])
    return torch.from_numpy(images).permute(0, 3, 1, 2) / 255


def show(axes: Axes, image: Tensor, title: str, color: str | None = None, **style: object) -> None:
    """Draw an image (3, H, W) or a map (h, w), framed in its source's color."""
    axes.imshow(image.movedim(0, -1).numpy() if image.ndim == 3 else image.numpy(), **style)
    axes.set_title(title, fontsize=10)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=color is not None, color=color, linewidth=4)


def show_assignment(axes: Axes, assignment: Tensor) -> None:
    """Draw the source of each cell: (h, w)."""
    show(axes, assignment, 'assignment', cmap=ListedColormap(COLORS), vmin=0, vmax=len(COLORS) - 1)
    if len(assignment) <= 7:
        for (row, column), source in np.ndenumerate(assignment.numpy()):
            axes.text(column, row, source + 1, ha='center', va='center', color='white', fontsize=9)


def window_mask(assignment: Tensor, side: int, stride: int, window: int) -> Tensor:
    """Return which tokens of a stage's first window see each other: cells (h, w) -> bool (window**2, window**2)."""
    tokens = resize_assignment(assignment[None], (side // stride, side // stride))
    return homologous(tokens[:, :window, :window].flatten(1))[0]


def draw_mixmae(images: Tensor) -> Figure:
    """Draw two sources, their mixture, what is visible of each, and the attention masks of the four stages."""
    side = images.shape[-1]
    assignment = random_assignment(1, (side // 32, side // 32), 2, generator=torch.Generator().manual_seed(0))
    figure = Figure(figsize=(12, 4.6), **DRAWING)
    panels = figure.subplots(2, 6)
    for k, image in enumerate(images):
        show(panels[0, k], image, f'source {k + 1}', COLORS[k])
        shown = resize_assignment(visible(assignment, 2)[:, k].long(), (side, side))
        show(panels[0, k + 4], torch.where(shown == 1, image, MASKED), f'decoder input {k + 1}', COLORS[k])
    show_assignment(panels[0, 2], assignment[0])
    show(panels[0, 3], mix_images(images[None], assignment)[0], 'what the encoder sees')
    for axes, (stride, window) in zip(panels[1], STAGES.items(), strict=False):
        mask, title = window_mask(assignment[0], side, stride, window), f'stride {stride}: who sees whom'
        show(axes, mask, f'{title}\n({window**2} tokens, a window)', cmap='gray_r', vmin=0, vmax=1.6)
    for axes in panels[1, 4:]:
        axes.set_axis_off()
    legend = 'Dark: a query (row) and a key (column)\nof the same source. White: masked from\neach other.'
    panels[1, 4].text(0, 0.9, legend, va='top', transform=panels[1, 4].transAxes, fontsize=10, in_layout=False)
    return figure


def draw_mixedae(pixels: Tensor, found: dict[str, HomologousMaps]) -> Figure:
    """Draw four sources, assignment, mixture, and the keys that one patch keeps in the last block of each model."""
    figure = Figure(figsize=(2 * (6 + len(found)), 2.8), **DRAWING)
    panels, first = figure.subplots(1, 6 + len(found)), next(iter(found.values()))
    for k, image in enumerate(pixels):
        show(panels[k], image, f'source {k + 1}', COLORS[k])
    show_assignment(panels[4], first.assignment[0])
    show(panels[5], first.mixed[0] / 255, 'mixture')
    for axes, (name, maps) in zip(panels[6:], found.items(), strict=True):
        show_keys(axes, maps, name)
    return figure


def show_keys(axes: Axes, maps: HomologousMaps, name: str) -> None:
    """Frame the keys that the middle patch keeps in the colors of their sources; the others are pale."""
    mixed, owners, share = maps.mixed[0] / 255, maps.assignment[0], maps.kept[0]
    query, cell = len(share) // 2 + owners.shape[1] // 2, mixed.shape[-1] // owners.shape[1]
    best = share[query].topk(round(len(share) / 4)).indices
    chosen = torch.zeros(len(share)).index_fill(0, best, 1).view(1, *owners.shape)
    shown = resize_assignment(chosen, tuple(mixed.shape[-2:])) == 1
    right = (owners.flatten()[best] == owners.flatten()[query]).float().mean()
    show(axes, torch.where(shown, mixed, 0.8 + 0.2 * mixed), f'{name}: keys of a patch,\n{right:.0%} of its source')
    for number in [*best.tolist(), query]:
        row, column = divmod(number, owners.shape[1])
        style = dict(fill=False, edgecolor=COLORS[owners[row, column]], linewidth=4 if number == query else 1.5)
        axes.add_patch(Rectangle((column * cell - 0.5, row * cell - 0.5), cell, cell, **style))


def main(arguments: list[str] | None = None) -> None:
    """Draw both figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=expanded, default=ROOT / 'docs/images', help='folder to write into')
    parser.add_argument('--mixedae', nargs=2, metavar=('CONFIG', 'CHECKPOINT'), help='a pre-trained MixedAE')
    args = parser.parse_args(arguments)
    config = load_config(args.mixedae[0] if args.mixedae else MICRO)
    torch.manual_seed(0)  # of the untrained model
    models = {'untrained': MODELS.build(config.model).eval()}
    if args.mixedae:
        models['trained'] = build_pretrainer(config, args.mixedae[1])
    pixels = scenes(4, config.model.backbone.img_size)
    args.out.mkdir(parents=True, exist_ok=True)
    draw_mixmae(scenes(2, 224)).savefig(args.out / 'how_mixmae_works.png')
    found = {name: homologous_maps_of(model, pixels * 255, seed=0) for name, model in models.items()}
    draw_mixedae(pixels, found).savefig(args.out / 'how_mixedae_works.png')


if __name__ == '__main__':
    main()
