"""Check that the encoder of a pre-training config keeps the sources of a mixture apart, as masked attention promises.

    mixmae check-encoder CONFIG [--image-size H [W]] [--cfg-options ...]

Random images are mixed and encoded with random weights, in evaluation and in training mode. For each source in turn,
all pixels of the other sources are changed: the tokens of the source must not change at all, in any map that the
encoder returns, and no gradient may flow from them to other pixels. Without the mask, the same change must show in
every map, or the check would prove nothing. The last map must have the grid of the cells. Batch norm fails, because its
statistics mix images. The exit status is 1 if anything is wrong.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from rich.console import Console
from torch import Tensor

from mixmae_mm.mixing import MixedImages, resize_assignment
from mixmae_mm.models.selfsup.base import MixingPretrainer
from mixmae_mm.models.utils.pos_embed import pair
from mixmae_mm.utils.arguments import ImageSize, Settings
from mixmae_mm.utils.errors import readable_errors
from mixmae_mm.utils.launching import load_config
from mixmae_mm.utils.names import expand


class Check(NamedTuple):
    """A promise, whether it is kept, and the values that show it."""

    promise: str
    kept: bool
    values: str


def own_tokens(images: MixedImages, source: int, size: torch.Size) -> Tensor:
    """Return which tokens of a map (h, w), or pixels, belong to a source: bool (G, 1, h, w)."""
    labels = resize_assignment(images.assignment, tuple(size)).expand(len(images.mixed), -1, -1)
    return (labels == source)[:, None]


def others_changed(images: MixedImages, source: int) -> MixedImages:
    """Change every pixel that does not belong to a source."""
    own = own_tokens(images, source, images.mixed.shape[-2:])
    return images._replace(mixed=torch.where(own, images.mixed, 3 * torch.randn_like(images.mixed) + 1))


def check_maps(model: MixingPretrainer, images: MixedImages) -> Iterator[Check]:
    """Check the grid of the last map, and list the shapes of all maps."""
    maps = model.encode(images)
    yield Check('maps', True, ', '.join(f'{x.shape[1]} x {x.shape[2]} x {x.shape[3]}' for x in maps))
    grid, cells = tuple(maps[-1].shape[-2:]), tuple(images.assignment.shape[-2:])
    yield Check('the last map has the grid of the cells', grid == cells, f'{grid} and {cells}')


def check_leaks(model: MixingPretrainer, images: MixedImages, source: int) -> Iterator[Check]:
    """Check that no other source leaks into the tokens of a source, forward and backward."""
    name = f'source {source}, in {"training" if model.training else "evaluation"}'
    changed = others_changed(images, source)
    masked = largest(*(encode(model.encode, x) for x in (images, changed)), images, source)
    yield Check(f'{name}: tokens do not change', max(masked) == 0, ', '.join(f'{x:.2g}' for x in masked))
    plain = largest(*(encode(model.backbone, x.mixed) for x in (images, changed)), images, source)
    yield Check(f'{name}: without the mask they do', min(plain) > 0, ', '.join(f'{x:.2g}' for x in plain))
    mixed = images.mixed.clone().requires_grad_(True)
    last = model.encode(images._replace(mixed=mixed))[-1]
    (last * torch.randn_like(last) * own_tokens(images, source, last.shape[-2:])).sum().backward()
    own = own_tokens(images, source, mixed.shape[-2:])
    outside, inside = (mixed.grad.masked_fill(part, 0).abs().amax().item() for part in (own, ~own))
    yield Check(f'{name}: gradients stay inside', outside == 0 < inside, f'{outside:.2g} beside {inside:.2g}')


@torch.no_grad()
def encode(encoder: Callable[..., Sequence[Tensor]], images: MixedImages | Tensor) -> Sequence[Tensor]:
    """Encode with the same random draws, such as those of drop path, each time."""
    torch.manual_seed(0)
    return encoder(images)


def largest(one: Sequence[Tensor], other: Sequence[Tensor], images: MixedImages, source: int) -> list[float]:
    """Return the largest difference between two encodings at the tokens of a source, in each map."""
    differences = ((x - y).abs().nan_to_num(float('inf')) for x, y in zip(one, other, strict=True))
    return [(x * own_tokens(images, source, x.shape[-2:])).max().item() for x in differences]


def check_encoder(config: Config, size: tuple[int, int] | None = None) -> Iterator[Check]:
    """Check the encoder of a config on images of `size` (H, W), by default that of its training.

    Raise ValueError if the model of the config does not mask attention by source.
    """
    init_default_scope(config.default_scope)
    model = MODELS.build(config.model)
    if not getattr(model, 'masked_attention', False):
        raise ValueError(f'{config.model.type} does not mask attention by source: use a config of mixmae_mm.MixMAE')
    model.eval()
    sides = size or tuple(cells * model.data_preprocessor.cell_size for cells in pair(config.model.neck.grid_size))
    batch = 2 * model.data_preprocessor.num_sources
    images = model.data_preprocessor.mix(torch.randn(batch, len(model.data_preprocessor.mean), *sides))
    yield from check_maps(model, images)
    with torch.no_grad():
        for parameter in model.backbone.parameters():  # some start at 0, which hides their effect
            parameter += 0.02 * torch.randn_like(parameter)
    for training in (False, True):
        model.train(training)
        for source in range(model.data_preprocessor.num_sources):
            yield from check_leaks(model, images, source)


def main(arguments: list[str] | None = None) -> None:
    """Read the command line, check and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', type=expand)
    parser.add_argument('--image-size', action=ImageSize, help='pixels (those of its training)')
    parser.add_argument('--cfg-options', nargs='+', action=Settings, help='config settings to override: a.b=value')
    parser.add_argument('--debug', action='store_true', help='show the traceback of an error')
    args = parser.parse_args(arguments)
    console, wrong = Console(highlight=False), 0
    with readable_errors(args.debug):
        for check in check_encoder(load_config(args.config, args.cfg_options), args.image_size):
            console.print(f'{"ok   " if check.kept else "WRONG"}  {check.promise}: {check.values}', markup=False)
            wrong += not check.kept
    if wrong:
        raise SystemExit(1)
    console.print('Sources are kept apart: none leaks into another.')


if __name__ == '__main__':
    main()
