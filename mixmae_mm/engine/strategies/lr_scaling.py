"""Scaling of the learning rate to the batch size."""

import math
import os

from mmengine.config import Config

from mixmae_mm.engine.strategies.deepspeed import find_accumulation
from mixmae_mm.utils.launching import say


def effective_batch(config: Config) -> dict[str, int]:
    """Return the factors of the batch of one update: processes, images in each, and accumulated iterations."""
    loader = config.train_dataloader
    return {
        'process(es)': 1 if config.launcher == 'none' else int(os.environ['WORLD_SIZE']),
        'images': (loader.get('batch_sampler') or {}).get('batch_size') or loader.batch_size,
        'accumulated iteration(s)': find_accumulation(config),
    }


def scale_rate(config: Config) -> None:
    """Scale the learning rate of a config linearly, from the batch that it is for to the batch of this job.

    The config is changed, not the optimizer: so the rate is the same for every runner, strategy, parameter group and
    schedule, and so is the base rate that is logged. mmengine's own scaling, which leaves out accumulated iterations
    and the logged rate, stays off. The config then says that its rate is for this batch, and can be scaled again.

    Raises:
        ValueError: the config does not say for which batch its learning rate is, or has none.
    """
    base = (config.get('auto_scale_lr') or {}).get('base_batch_size')
    if not isinstance(base, int) or base < 1:
        raise ValueError(
            '--auto-scale-lr needs the batch size (GPUs x batch per GPU x accumulated iterations) that the learning '
            f'rate of this config is for: add auto_scale_lr=dict(base_batch_size=...) to the config, which has {base}'
        )
    optimizer = (config.get('optim_wrapper') or {}).get('optimizer') or {}
    if not isinstance(optimizer.get('lr'), int | float):
        raise ValueError(
            f'--auto-scale-lr needs a learning rate to scale, got optim_wrapper.optimizer.lr={optimizer.get("lr")}: '
            'set it in the config, or leave --auto-scale-lr out'
        )
    factors = effective_batch(config)
    batch = math.prod(factors.values())
    optimizer.lr *= batch / base
    config.auto_scale_lr = dict(base_batch_size=batch, enable=False)
    say(
        f'LR is set based on batch size of {base} and the current batch size is {batch} '
        f'({" x ".join(f"{number} {name}" for name, number in factors.items())}). '
        f'Scaling the original LR by {batch / base:g} to {optimizer.lr:g}.'
    )
