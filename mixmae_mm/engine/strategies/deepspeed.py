"""Translation of a config for DeepSpeed."""

import importlib.util
import json
from pathlib import Path

import mmengine._strategy.deepspeed
from mmengine.config import Config

UNFIT_HOOKS = {
    'EMAHook': 'copies the model, which cannot be copied once it is sharded',
    'CompileBackboneHook': 'compiles the backbone as one graph, which gathering shards breaks',
}
ACCUMULATION = 'gradient_accumulation_steps'
"""DeepSpeed's name for `accumulative_counts`."""


def find_strategy(config: Config) -> str | None:
    """Name a config's strategy, without its scope; None where it has none."""
    return _plain((config.get('strategy') or {}).get('type'))


def fit_strategy(config: Config) -> None:
    """Fit a config to the strategy that it names, if any: its optimizer wrapper becomes DeepSpeed's where that trains.

    Raises:
        ValueError: no launcher, or hooks or an optimizer wrapper that do not go with the strategy.
    """
    kind = find_strategy(config)
    if kind is None:
        return
    if config.launcher == 'none':
        raise ValueError(
            f'the strategy {kind} needs a launcher, even for one process: tools/dist_train.sh CONFIG 1, or leave '
            'runner_type and strategy out of the config'
        )
    hooks = [*(config.get('default_hooks') or {}).values(), *(config.get('custom_hooks') or [])]
    for name in (_plain(hook.get('type')) for hook in hooks if hook):
        if name in UNFIT_HOOKS:
            raise ValueError(f'{name} {UNFIT_HOOKS[name]}: leave the hook or the strategy {kind} out')
    config.optim_wrapper.type = _plain(config.optim_wrapper.get('type', 'OptimWrapper'))
    if kind == 'DeepSpeedStrategy':
        _to_deepspeed(config)


def find_accumulation(config: Config) -> int:
    """Return over how many iterations the gradients of one update are accumulated.

    Raises:
        ValueError: the optimizer wrapper and DeepSpeed's settings disagree.
    """
    given = {
        'optim_wrapper.accumulative_counts': config.optim_wrapper.get('accumulative_counts'),
        f'strategy.{ACCUMULATION}': (config.get('strategy') or {}).get(ACCUMULATION),
        f'strategy.config.{ACCUMULATION}': _deepspeed_settings(config).get(ACCUMULATION),
    }
    numbers = {name: number for name, number in given.items() if number is not None}
    if len(set(numbers.values())) > 1:
        said = ' and '.join(f'{name}={number}' for name, number in numbers.items())
        raise ValueError(f'gradients are accumulated over one number of iterations, got {said}: set one of them')
    return next(iter(numbers.values()), 1)


def leave_strategy(config: Config) -> None:
    """Have a config tested as any other is: checkpoints are read whole."""
    config.pop('runner_type', None)
    config.pop('strategy', None)


def _plain(kind: str | type | None) -> str | None:
    """Return a type's name without its scope."""
    return None if kind is None else getattr(kind, '__name__', kind).rpartition('.')[-1]


def _deepspeed_settings(config: Config) -> dict:
    """Return what a config has in DeepSpeed's own words, there or in a file."""
    settings = (config.get('strategy') or {}).get('config') or {}
    return json.loads(Path(settings).read_text()) if isinstance(settings, str) else dict(settings)


def _to_deepspeed(config: Config) -> None:
    """Return the settings of an optimizer wrapper as DeepSpeed names them."""
    wrapper, ours = config.optim_wrapper, dict(config.optim_wrapper)
    config.strategy.type = 'DeepSpeedStrategy'  # mmengine's runner knows it by this name alone
    settings, accumulation = _deepspeed_settings(config), find_accumulation(config)
    kind = ours.pop('type')
    half, clip = ours.pop('dtype', 'float16'), dict(ours.pop('clip_grad', None) or {})
    if ours.get('loss_scale') == dict(enabled=False):  # as set_precision has it for bfloat16
        del ours['loss_scale']
    _check_wrapper(kind, ours, clip)
    if kind == 'AmpOptimWrapper':
        settings['torch_autocast'] = dict(enabled=True, dtype=half)
    if clip:
        settings['gradient_clipping'] = clip['max_norm']
    if 'accumulative_counts' in ours:
        settings[ACCUMULATION] = accumulation
    kept = {key: wrapper[key] for key in ('optimizer', 'constructor', 'paramwise_cfg') if key in wrapper}
    config.strategy.config, config.optim_wrapper = settings, dict(type='DeepSpeedOptimWrapper', **kept)
    if importlib.util.find_spec('deepspeed') and not importlib.util.find_spec('deepspeed.runtime.fp16.onebit'):
        # mmengine would register optimizers of DeepSpeed's that are gone since 0.19; ours are torch's
        mmengine._strategy.deepspeed.register_deepspeed_optimizers = list


def _check_wrapper(kind: str, settings: dict, clip: dict) -> None:
    """Check that DeepSpeed can do what an optimizer wrapper does."""
    known = {'optimizer', 'constructor', 'paramwise_cfg', 'accumulative_counts'}
    if kind not in ('OptimWrapper', 'AmpOptimWrapper', 'DeepSpeedOptimWrapper') or set(settings) - known:
        rest = f' with {sorted(set(settings) - known)}' if set(settings) - known else ''
        raise ValueError(
            f'DeepSpeed cannot stand in for the optimizer wrapper {kind}{rest}: it takes OptimWrapper and '
            f'AmpOptimWrapper with {sorted(known | {"dtype", "clip_grad"})}'
        )
    norm = {'type': 'norm', 'norm_type': 2}
    if any(clip[key] != norm.get(key) for key in clip if key != 'max_norm'):
        raise ValueError(f'DeepSpeed clips gradients by their 2-norm alone (max_norm), got clip_grad={clip}')
