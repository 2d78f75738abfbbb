"""Compute which batch of a pre-training config fits into which GPU, from the memory per image measured here.

    python tools/benchmarks/fits.py CONFIG [CONFIG ...] [--batches 4 8] [--gigabytes 8 16 24]

Weights, gradients and AdamW's two moments follow from the number of parameters: 16 bytes for each, and 2 more under
autocast, for weights in bfloat16. The memory per image is the slope, between two batches, of the peak memory of a
forward and backward pass. A GPU's kernels keep other tensors for attention, so the batches are a first guess; a tenth
of the memory is left free. Each config is measured with and without `with_cp`.
"""

import argparse
import os
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

import torch
from measuring import ALLOCATOR, PRECISIONS, held_during, machine, options
from mmengine.registry import MODELS, init_default_scope
from one_step import loss_of

from mixmae_mm.utils.arguments import Settings
from mixmae_mm.utils.errors import readable_errors
from mixmae_mm.utils.launching import load_config
from mixmae_mm.utils.names import expand

USABLE = 0.9  # of a GPU: the rest is for the driver, fragments and the libraries' workspaces


class Need(NamedTuple):
    """Memory that a config needs: bytes that do not depend on the batch, and bytes per image."""

    config: str
    checkpointing: bool
    side: int
    parameters: int
    fixed: int
    image: float
    group: int
    """Number of images in a mixture; a batch is a multiple of it."""

    def batch(self, gigabytes: float) -> int:
        """Return the largest batch for a GPU with this many GB (1e9 bytes), 0 if not even one mixture fits."""
        images = int((gigabytes * 1e9 * USABLE - self.fixed) // self.image)
        return max(images // self.group * self.group, 0)


def fixed_bytes(parameters: int, trained: int, half: bool) -> int:
    """Count the bytes of weights with their copies in half precision, gradients, and AdamW's two moments."""
    return parameters * (4 + 2 * half) + trained * (4 + 8)


def slope(small: tuple[int, int], large: tuple[int, int]) -> float:
    """Return the bytes that one more image takes, from two pairs (number of images, bytes).

    Raise ValueError if the batches are the same, or the larger one took less.
    """
    if large[0] <= small[0] or large[1] <= small[1]:
        raise ValueError(f'{small} and {large} images and bytes: two batches are needed, the larger one second')
    return (large[1] - small[1]) / (large[0] - small[0])


def passes(settings: dict, side: int, batch: int, half: bool, threads: int) -> int:
    """Measure the bytes of a forward and backward pass, without weights and gradients, in this process."""
    torch.set_num_threads(threads)
    init_default_scope('mmpretrain')
    model = MODELS.build(settings).train()
    images = torch.randint(0, 256, (batch, 3, side, side), dtype=torch.uint8)
    loss_of(model, images, half).backward()  # allocates the gradients, which stay
    before, most = held_during(lambda: loss_of(model, images, half).backward(), images.device)
    return most - before


def needs(args: argparse.Namespace) -> Iterator[Need]:
    """Measure each config with and without checkpointing, each pass in a separate process."""
    os.environ.update(ALLOCATOR)
    with get_context('spawn').Pool(1, maxtasksperchild=1) as pool:
        for file in args.configs:
            config = load_config(file, args.cfg_options)
            for checkpointing in (False, True):
                config.model.backbone.with_cp = checkpointing
                settings, side = config.model.to_dict(), config.model.backbone.get('img_size', 224)
                calls = [(settings, side, batch, args.precision == 'bf16', args.threads) for batch in args.batches]
                measured = zip(args.batches, pool.starmap(passes, calls, chunksize=1), strict=True)
                yield describe(file, settings, side, slope(*measured), args.precision == 'bf16')


def describe(file: str, settings: dict, side: int, image: float, half: bool) -> Need:
    """Combine the measured memory per image with what follows from the number of parameters."""
    init_default_scope('mmpretrain')
    with torch.device('meta'):
        parameters = list(MODELS.build(settings).parameters())
    counted, trained = (sum(p.numel() for p in parameters if p.requires_grad or every) for every in (True, False))
    group = settings['data_preprocessor']['num_sources']
    checkpointing = settings['backbone']['with_cp']
    return Need(Path(file).stem, checkpointing, side, counted, fixed_bytes(counted, trained, half), image, group)


def main(arguments: list[str] | None = None) -> None:
    """Measure and print a Markdown table, each line as soon as it is known."""
    parser = options(__doc__)
    parser.add_argument('configs', nargs='+', type=expand)
    parser.add_argument('--batches', type=int, nargs=2, default=(4, 8), help='multiples of the images of a mixture')
    parser.add_argument('--gigabytes', type=float, nargs='+', default=[8, 12, 16, 24, 40, 80])
    parser.add_argument('--precision', choices=PRECISIONS, default='bf16', help='(%(default)s)')
    parser.add_argument('--cfg-options', nargs='+', action=Settings)
    parser.add_argument('--debug', action='store_true', help='print tracebacks')
    args = parser.parse_args(arguments)
    sizes = [f'{size:g} GB' for size in args.gigabytes]
    heads = ['config', 'side', '`with_cp`', 'fixed, GB', 'MB per image', *sizes]
    print(f'| {" | ".join(heads)} |\n|{"---|" * 3}{"--:|" * (len(heads) - 3)}')
    with readable_errors(args.debug):
        for need in needs(args):
            cells = [need.config, str(need.side), 'yes' if need.checkpointing else 'no', f'{need.fixed / 1e9:.1f}']
            cells += [f'{need.image / 1e6:.0f}', *(str(need.batch(size) or '-') for size in args.gigabytes)]
            print(f'| {" | ".join(cells)} |', flush=True)
    print(machine('cpu'))


if __name__ == '__main__':
    main()
