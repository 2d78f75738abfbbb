"""Adaptation of a config to its strategy, and of its learning rate to the total batch size of the job."""

import math
import os

from mmengine.config import Config

from mixmae_mm.utils.launching import say

UNFIT_HOOKS = {
    'EMAHook': 'copies the model, which cannot be copied once it is sharded',
    'CompileBackboneHook': 'compiles the backbone as one graph, which gathering shards breaks',
}


def plain_type(settings: dict | None, default: str = '') -> str:
    """Return the name of the type in `settings`, without its scope."""
    kind = (settings or {}).get('type', default)
    return getattr(kind, '__name__', kind).rpartition('.')[-1]


def fit_strategy(config: Config) -> None:
    """Check that a config is compatible with the strategy that it names, if any.

    Raise ValueError if the strategy is DeepSpeed's, there is no launcher, or a hook needs the whole model.
    """
    kind = plain_type(config.get('strategy'))
    if not kind:
        return
    if kind == 'DeepSpeedStrategy':
        raise ValueError(
            'DeepSpeedStrategy is not supported: precision, accumulation and clipping of the optim_wrapper would have '
            'no effect. Shard the model with FSDP: ../_base_/strategies/fsdp.py in _base_'
        )
    if config.launcher == 'none':
        raise ValueError(
            f'the strategy {kind} needs a launcher, even for one process: tools/dist_train.sh CONFIG 1, or leave '
            'runner_type and strategy out of the config'
        )
    hooks = [*(config.get('default_hooks') or {}).values(), *(config.get('custom_hooks') or [])]
    for name in map(plain_type, hooks):
        if name in UNFIT_HOOKS:
            raise ValueError(f'{name} {UNFIT_HOOKS[name]}: leave the hook or the strategy {kind} out')
    config.optim_wrapper.type = plain_type(config.optim_wrapper, 'OptimWrapper')  # mmengine compares the name


def scale_rate(config: Config) -> None:
    """Scale the learning rate of a config linearly, from the batch size it is meant for to that of this job.

    The config is changed in place. mmengine's own scaling, which ignores accumulated iterations, stays off. Raise
    ValueError if the config has no learning rate, or does not say which batch size it is meant for.
    """
    base = (config.get('auto_scale_lr') or {}).get('base_batch_size')
    optimizer = (config.get('optim_wrapper') or {}).get('optimizer') or {}
    rate = optimizer.get('lr')
    if not isinstance(base, int) or base < 1 or not isinstance(rate, int | float):
        raise ValueError(
            '--auto-scale-lr needs the batch size (GPUs x batch per GPU x accumulated iterations) that the learning '
            'rate of this config is for: add auto_scale_lr=dict(base_batch_size=...) to the config, which has '
            f'{base}, and optim_wrapper.optimizer.lr, which is {rate}'
        )
    loader = config.train_dataloader
    processes = 1 if config.launcher == 'none' else int(os.environ['WORLD_SIZE'])
    images = (loader.get('batch_sampler') or {}).get('batch_size') or loader.batch_size
    factors = processes, images, config.optim_wrapper.get('accumulative_counts', 1)
    batch = math.prod(factors)
    optimizer.lr *= batch / base
    config.auto_scale_lr = dict(base_batch_size=batch, enable=False)
    say(
        f'LR is set based on batch size of {base} and the current batch size is {batch} (process(es) x images x '
        f'accumulated iterations: {factors}). Scaling the original LR by {batch / base:g} to {optimizer.lr:g}.'
    )
