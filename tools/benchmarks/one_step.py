"""What one whole training step of a config takes here: will it fit, and how long.

    MALLOC_MMAP_THRESHOLD_=65536 python tools/benchmarks/one_step.py CONFIG --batch 2 [--size 224] [--float32]

Builds the pre-training model and its optimizer, mixes random images, and goes forward, backward and down, under
bfloat16 autocast, on the GPU or, where there is none, on the CPU. The first step makes the optimizer's state; the last
one is measured. Without the variable glibc may hold more than is in use.
"""

import argparse
import time

import mixmae_mm
from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

import torch
from measuring import held_during, machine, wait
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from rich.console import Console
from rich.table import Table

from mixmae_mm.utils.launching import Settings, load_config


def build(config: Config, device: str) -> tuple[BaseModel, OptimWrapper]:
    """Make a config's model and optimizer."""
    init_default_scope(config.default_scope)
    model = MODELS.build(config.model).to(device).train()
    settings = {key: config.optim_wrapper.get(key) for key in ('constructor', 'paramwise_cfg', 'optimizer')}
    asked_for = {key: value for key, value in settings.items() if value is not None}
    return model, build_optim_wrapper(model, dict(asked_for, type='OptimWrapper'))


def one_step(model: BaseModel, optimizer: OptimWrapper, images: torch.Tensor, half: bool) -> dict[str, float]:
    """Take a step; give the seconds of its parts."""
    marks = [time.perf_counter()]

    def mark() -> None:
        wait(images.device)
        marks.append(time.perf_counter())

    with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
        loss, _ = model.parse_losses(model(**model.data_preprocessor(dict(inputs=images), True), mode='loss'))
    mark()
    loss.backward()
    mark()
    optimizer.step()
    optimizer.zero_grad()
    mark()
    return dict(
        zip(('forward', 'backward', 'optimizer'), (b - a for a, b in zip(marks, marks[1:], strict=False)), strict=True)
    )


def bytes_of(tensors: list[torch.Tensor]) -> int:
    """Sum the sizes up."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config')
    parser.add_argument('--batch', type=int, default=8, help='images')
    parser.add_argument('--size', type=int, default=224, help='sides of the images in pixels')
    parser.add_argument('--steps', type=int, default=2)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--float32', action='store_true', help='without autocast')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--cfg-options', nargs='+', action=Settings)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    config = load_config(args.config, args.cfg_options)
    model, optimizer = build(config, args.device)
    images = torch.randint(0, 256, (args.batch, 3, args.size, args.size), dtype=torch.uint8, device=args.device)
    for _ in range(args.steps - 1):
        one_step(model, optimizer, images, not args.float32)
    seconds: dict[str, float] = {}
    before, most = held_during(
        lambda: seconds.update(one_step(model, optimizer, images, not args.float32)), images.device
    )
    report(model, optimizer, seconds, before, most)
    print(f'{machine(args.device)}, torch {torch.__version__}, mixmae_mm {mixmae_mm.__version__}')


def report(model: BaseModel, optimizer: OptimWrapper, seconds: dict[str, float], before: int, most: int) -> None:
    """Print what the step took."""
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
    for name, passed in seconds.items():
        table.add_row(name, f'{passed:.2f} s')
    Console(width=100).print(table)


if __name__ == '__main__':
    main()
