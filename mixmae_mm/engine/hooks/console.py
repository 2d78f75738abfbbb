"""A run on the console: its setup, its progress, its validation results, and the path of its checkpoint."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, Runner

from mixmae_mm.utils.console import Console

SCALARS = dict(loss=('loss {:.4f}', 10), lr=('lr {:.2e}', 1), images_per_second=('{:.0f} images/s', 1))
"""The format of each logged number, and over how many iterations it is averaged."""


class ConsoleHook(Hook):
    """Hook that shows a run on the console; it runs after the hooks that log the numbers it shows."""

    priority = 'LOWEST'

    def __init__(self, console: Console) -> None:
        self.console, self.line = console, ''

    def before_run(self, runner: Runner) -> None:
        """Show the number of images, the length of the training, the device and the precision."""
        training = isinstance(runner._train_loop, BaseLoop)
        loop = runner._train_loop if training else runner._test_loop
        dataset, length = loop.dataloader.dataset, ''
        if training:
            length = f', {loop.max_iters:,} iterations'
            if isinstance(loop, EpochBasedTrainLoop):
                length = f', {loop.max_epochs:,} epoch(s) of {len(loop.dataloader):,} iterations'
        images = f'{len(dataset):,} images' if hasattr(dataset, '__len__') else 'images without an end'
        device = f'{runner.world_size} x {get_device()}' if runner.world_size > 1 else get_device()
        precision = f' in {precision_of(runner)}' if training else ''
        self.console.say(f'{"training" if training else "testing "}  {images}{length}, on {device}{precision}')

    def before_train(self, runner: Runner) -> None:
        """Say so if a resumed run has ended already."""
        if runner.iter >= runner.max_iters:
            self.console.say(
                f'nothing is left to train: all {runner.max_iters:,} iterations were done before. For more, raise '
                'train_cfg.max_epochs or max_iters, or start a run from the weights: load_from=FILE without --resume'
            )

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Show the progress of training."""
        place = f'iteration {runner.iter + 1}/{runner.max_iters}'
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            length = len(runner.train_dataloader)
            place = f'epoch {runner.epoch + 1}/{runner.max_epochs} [{batch_idx + 1}/{length}]'
        history, eta = runner.message_hub.log_scalars, runner.message_hub.runtime_info.get('eta')
        known = [(history.get(f'train/{name}'), *how) for name, how in SCALARS.items()]
        means = (text.format(values.mean(window)) for values, text, window in known if values is not None)
        left = [] if eta is None else [f'eta {timedelta(seconds=int(eta))}']
        self.line = '  '.join([place, *means, *left])
        self.console.progress(self.line)

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Show the progress of validation."""
        self.console.progress(f'validation [{batch_idx + 1}/{len(runner.val_dataloader)}]')

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Show the progress of the test."""
        self.line = f'test [{batch_idx + 1}/{len(runner.test_dataloader)}]'
        self.console.progress(self.line)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Show the metrics."""
        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        place = f'epoch {runner.epoch}' if by_epoch else f'iteration {runner.iter}'
        self.console.say(f'validation after {place}: {scalars(metrics)}')

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Show the metrics."""
        self.console.progress(self.line, last=True)
        self.console.say(f'test: {scalars(metrics)}')

    def after_train(self, runner: Runner) -> None:
        """Keep the last line of progress, and show the path of the checkpoint."""
        self.console.progress(self.line, last=True)
        if path := runner.message_hub.runtime_info.get('last_ckpt'):
            self.console.say(f'checkpoint: {path}')


def scalars(metrics: dict[str, Any] | None) -> str:
    """Format the scalar metrics in one line."""
    numbers = {name: value for name, value in (metrics or {}).items() if not getattr(value, 'ndim', 0)}
    shown = [f'{name} {float(value):.4g}' for name, value in numbers.items() if hasattr(value, '__float__')]
    return ', '.join(shown) or 'no metrics'


def precision_of(runner: Runner) -> str:
    """Return the data type in which a runner trains; if none is set, autocast's default for the device."""
    wrapper = runner.cfg.optim_wrapper
    if 'Amp' not in str(wrapper.get('type')):
        return 'float32'
    return str(wrapper.get('dtype') or ('bfloat16' if get_device() == 'cpu' else 'float16'))


def follow(runner: Runner) -> None:
    """Show a runner on the current console, if a tool has started one; only rank 0 is shown."""
    console = Console.current
    if console is None or runner.rank:
        return
    name = Path(runner.cfg.filename).stem if runner.cfg.filename else runner.experiment_name
    log_file = os.path.join(os.path.relpath(runner.log_dir, runner.work_dir), f'{runner.timestamp}.log')
    console.say(f'config    {name}\nwork_dir  {runner.work_dir}\nlog file  {log_file}')
    runner.register_hook(ConsoleHook(console))
