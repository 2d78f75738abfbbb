"""Measure one whole training step of a config here: whether it fits, and how long it takes.

    MALLOC_MMAP_THRESHOLD_=65536 python tools/benchmarks/one_step.py CONFIG --batch-size 2 [--image-size 224]
        [--precision fp32]

A step mixes random images, runs forward and backward, by default under bfloat16 autocast, and updates the weights, on
the GPU or, if there is none, on the CPU. The first step allocates the optimizer's state; the last one is measured.
Without the environment variable, glibc can hold more memory than is in use.
"""

from functools import partial

from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

import torch
from measuring import PRECISIONS, held_during, machine, options, seconds
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from rich.console import Console
from rich.table import Table

from mixmae_mm.utils.arguments import Settings
from mixmae_mm.utils.launching import load_config
from mixmae_mm.utils.names import expand


def build(config: Config, device: str) -> tuple[BaseModel, OptimWrapper]:
    """Build a config's model and optimizer."""
    init_default_scope(config.default_scope)
    model = MODELS.build(config.model).to(device).train()
    keys = 'constructor', 'paramwise_cfg', 'optimizer'
    settings = {key: config.optim_wrapper[key] for key in keys if key in config.optim_wrapper}
    return model, build_optim_wrapper(model, dict(settings, type='OptimWrapper'))


def loss_of(model: BaseModel, images: torch.Tensor, half: bool) -> torch.Tensor:
    """Compute the training loss of uint8 images (B, 3, H, W)."""
    with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
        return model.parse_losses(model(**model.data_preprocessor(dict(inputs=images), True), mode='loss'))[0]


def one_step(model: BaseModel, optimizer: OptimWrapper, images: torch.Tensor, half: bool) -> dict[str, float]:
    """Run a step; return the seconds of its parts."""
    losses = []
    passed = dict(forward=seconds(lambda: losses.append(loss_of(model, images, half))))
    passed['backward'] = seconds(losses[0].backward)
    passed['optimizer'] = seconds(optimizer.step)
    optimizer.zero_grad()
    return passed


def bytes_of(tensors: list[torch.Tensor]) -> int:
    """Sum up the sizes of tensors in bytes."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def main() -> None:
    """Measure and print."""
    parser = options(__doc__, batch_size=8, image_size=224, steps=2)
    parser.add_argument('config', type=expand)
    parser.add_argument('--precision', choices=PRECISIONS, default='bf16', help='(%(default)s)')
    parser.add_argument('--cfg-options', nargs='+', action=Settings)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model, optimizer = build(load_config(args.config, args.cfg_options), args.device)
    shape, half = (args.batch_size, 3, args.image_size, args.image_size), args.precision == 'bf16'
    images = torch.randint(0, 256, shape, dtype=torch.uint8, device=args.device)
    for _ in range(args.steps - 1):
        one_step(model, optimizer, images, half)
    passed: dict[str, float] = {}
    last = partial(one_step, model, optimizer, images, half)
    before, most = held_during(lambda: passed.update(last()), images.device)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    states = [value for state in optimizer.optimizer.state.values() for value in state.values()]
    memory = {
        'weights': bytes_of(list(model.parameters())),
        'gradients': bytes_of(trained),
        "optimizer's state": bytes_of([value for value in states if torch.is_tensor(value)]),
        'held before the step': before,
        'most held in the step': most,
    }
    table = Table('', '', title=f'{sum(p.numel() for p in trained) / 1e6:.0f} M trained parameters')
    for name, size in memory.items():
        table.add_row(name, f'{size / 1e9:.2f} GB')
    for name, time in passed.items():
        table.add_row(name, f'{time:.2f} s')
    Console(width=100).print(table)
    print(machine(args.device))


if __name__ == '__main__':
    main()
