"""Settings that exclude each other or do not fit the training, resolved or refused before anything is built."""

from collections.abc import Iterator

from mmengine.config import Config

from mixmae_mm.utils.config_keys import LOADERS

OF_WORKERS = ('persistent_workers', 'prefetch_factor', 'multiprocessing_context', 'timeout')


def settle_loaders(config: Config) -> None:
    """Remove worker settings from loaders without workers; refuse `shuffle` or `drop_last` if a sampler excludes it."""
    for place in LOADERS:
        loader = config.get(place)
        if not isinstance(loader, dict):
            continue
        for name in () if loader.get('num_workers') else OF_WORKERS:  # loading in the main process
            loader.pop(name, None)
        sampler = 'batch_sampler' if loader.get('batch_sampler') else 'sampler'
        for name in ('shuffle', 'drop_last') if sampler == 'batch_sampler' else ('shuffle',):
            if loader.get(name):
                here, there = f'{place}.{name}', f'{place}.{sampler}'
                raise ValueError(f'{here} and {there} exclude each other: set {here}=False and {there}.{name}')


def check_schedule(config: Config, epoch_length: int | None = None) -> list[str]:
    """Check that schedules fit the length of the training; raise a `ValueError` or return warnings.

    Without `epoch_length`, check the schedules that count in the same unit as the training; with it, the others.
    """
    loop, schedulers = config.get('train_cfg') or {}, config.get('param_scheduler') or []
    for name in ('max_epochs', 'max_iters', 'val_interval'):
        if name in loop and loop[name] < 1:
            raise ValueError(f'train_cfg.{name}={loop[name]}: set 1 or more (for no validation, set val_cfg=None)')
    named = {f'param_scheduler.{number}': one for number, one in enumerate(schedulers)}
    named = named if isinstance(schedulers, list | tuple) else {'param_scheduler': schedulers}
    unit = 'epoch' if 'max_epochs' in loop else 'iteration'
    length = loop.get('max_epochs', loop.get('max_iters'))
    warnings = [] if epoch_length or length is None else list(_check_hooks(config, unit, length))
    for place, one in named.items():
        if not isinstance(one, dict) or 'type' not in one or length is None:  # several optimizers, or a custom loop
            continue
        own = 'epoch' if one.get('by_epoch', True) else 'iteration'
        if (own, unit) == ('epoch', 'iteration') and not (one.get('convert_to_iter_based') and one.get('end')):
            raise ValueError(
                f'{place} ({one.type}) counts epochs, but the training iterations (train_cfg.max_iters={length}): set '
                f'{place}.by_epoch=False, no convert_to_iter_based, begin and end in iterations'
            )
        _check_span(place, one, epoch_length if one.get('convert_to_iter_based') else None)
        if (own == unit) == (not epoch_length) and (own, unit) != ('epoch', 'iteration'):
            warnings += _check_scheduler(place, named, own, length * (epoch_length or 1))
    return warnings


def _check_span(place: str, one: dict, epoch_length: int | None) -> None:
    """Check that a schedule ends after its begin; `epoch_length` is the length of its unit in iterations, if known."""
    begin, end = one.get('begin') or 0, one.get('end')
    if end is None or (int(end * epoch_length) > int(begin * epoch_length) if epoch_length else end > begin):
        return
    short = f', less than one of the {epoch_length} iterations of an epoch' if end > begin else ''
    without = f' (for no warm-up, {place}.end=1 {place}.start_factor=1)' if one.type == 'LinearLR' else ''
    raise ValueError(f'{place} ({one.type}) lasts from {begin} to {end}{short}: let it end later{without}')


def _check_scheduler(place: str, named: dict[str, dict], unit: str, length: int) -> Iterator[str]:
    """Check one schedule against a training of `length` epochs or iterations."""
    one = named[place]
    begin, what = one.get('begin', 0), f'{place} ({one.type})'
    training = f'the training of {length} {unit}s (train_cfg.{"max_epochs" if unit == "epoch" else "max_iters"})'
    if begin >= length:
        before = [f'{other}.end' for other, its in named.items() if its.get('end') == begin]
        settings = ' '.join(f'{setting}={length // 2 or length / 2}' for setting in (*before, f'{place}.begin'))
        raise ValueError(
            f'{what} begins after {begin} {unit}s of warm-up, but {training} is over by then: train longer, or '
            f'shorten the warm-up: --cfg-options {settings}'
        )
    last = max(one.get('milestones') or [one.get('end') or begin + (one.get('T_max') or 0)])
    if last > length:
        yield f'{what} continues to {unit} {last}, beyond {training}: the learning rate does not reach its final value'


def _check_hooks(config: Config, unit: str, length: int) -> Iterator[str]:
    """Yield warnings about hooks and settings without effect in a training of this unit and length."""
    saving = (config.get('default_hooks') or {}).get('checkpoint') or {}
    if unit == 'iteration' and saving.get('by_epoch', bool(saving)):
        yield 'the training counts iterations, but checkpoints epochs: set default_hooks.checkpoint.by_epoch=False'
    if saving.get('save_best') and not config.get('val_dataloader'):
        yield 'default_hooks.checkpoint.save_best has no effect without val_dataloader, val_cfg and val_evaluator'
    begin = config.train_cfg.get('val_begin', 1)
    if config.get('val_dataloader') and begin > length:
        yield f'train_cfg.val_begin={begin} is beyond the training of {length} {unit}s: nothing is validated'
