"""What a config must say differently for the strategy that it names."""

import importlib.util

import mmengine._strategy.deepspeed
from mmengine.config import Config


def fit_strategy(config: Config) -> None:
    """Fit a config to the strategy that it names, if any: its optimizer wrapper becomes DeepSpeed's where that trains.

    Raises:
        ValueError: no launcher, or an optimizer wrapper that DeepSpeed has nothing for.
    """
    kind = config.get('strategy', {}).get('type')
    if kind is None:
        return
    if config.launcher == 'none':
        raise ValueError(
            f'the strategy {kind} needs a launcher, even for one process: tools/dist_train.sh CONFIG 1, or leave '
            'runner_type and strategy out of the config'
        )
    if kind == 'DeepSpeedStrategy':
        _to_deepspeed(config)


def _to_deepspeed(config: Config) -> None:
    """Say in DeepSpeed's words what the optimizer wrapper asks for."""
    wrapper, ours = config.optim_wrapper, dict(config.optim_wrapper)
    settings = dict(config.strategy.get('config', {}))
    kind = ours.pop('type', 'OptimWrapper')
    half, clip = ours.pop('dtype', 'float16'), ours.pop('clip_grad', None)
    known = {'optimizer', 'constructor', 'paramwise_cfg', 'accumulative_counts', 'loss_scale'}
    if kind not in ('OptimWrapper', 'AmpOptimWrapper', 'DeepSpeedOptimWrapper') or set(ours) - known:
        raise ValueError(
            f'DeepSpeed cannot stand in for the optimizer wrapper {kind} with {sorted(set(ours) - known)}: it takes '
            f'OptimWrapper and AmpOptimWrapper with {sorted(known | {"dtype", "clip_grad"})}'
        )
    if clip and set(clip) - {'max_norm'}:
        raise ValueError(f'DeepSpeed clips gradients by max_norm alone, got clip_grad={dict(clip)}')
    if kind == 'AmpOptimWrapper':
        settings['torch_autocast'] = dict(enabled=True, dtype=half)
    if clip:
        settings['gradient_clipping'] = clip['max_norm']
    settings['gradient_accumulation_steps'] = ours.get('accumulative_counts', 1)
    config.strategy.config = settings
    kept = {key: wrapper[key] for key in ('optimizer', 'constructor', 'paramwise_cfg') if key in wrapper}
    config.optim_wrapper = dict(type='DeepSpeedOptimWrapper', **kept)
    if importlib.util.find_spec('deepspeed') and not importlib.util.find_spec('deepspeed.runtime.fp16.onebit'):
        # mmengine would register optimisers of DeepSpeed's that are gone since 0.19; ours are torch's
        mmengine._strategy.deepspeed.register_deepspeed_optimizers = list
