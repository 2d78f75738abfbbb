"""Log entries: the base learning rate, images per second, and the share of time spent waiting for data."""

from collections import deque
from time import perf_counter
from typing import Any

from mmengine.hooks import Hook, RuntimeInfoHook
from mmengine.runner import Runner

from mixmae_mm.registry import HOOKS


@HOOKS.register_module()
class BaseRateHook(RuntimeInfoHook):
    """mmengine's hook, but with the base rate as `lr`, not that of the first parameter group (the lowest layer's)."""

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Record the iteration and its learning rates."""
        runner.message_hub.update_info('iter', runner.iter)
        rates = runner.optim_wrapper.get_lr()
        base = {f'{name.removesuffix("base_lr")}lr': rate for name, rate in rates.items() if name.endswith('base_lr')}
        for name, (rate, *_) in (rates | base).items():
            runner.message_hub.update_scalar(f'train/{name}', rate)


@HOOKS.register_module()
class ProgressHook(Hook):
    """Hook that logs `images_per_second` (of the whole job) and `data_wait` (share of time), averaged over iterations.

    It runs after all other hooks, so that saving a checkpoint does not count as waiting. A log line therefore covers
    the iterations up to the previous one.

    Args:
        window: Number of iterations to average over.
    """

    priority = 'LOWEST'

    def __init__(self, window: int = 50) -> None:
        self.laps: deque[tuple[int, float, float]] = deque(maxlen=window)

    def _mark(self, runner: Runner) -> None:
        """Start the clock for the next batch."""
        self.mark = perf_counter()

    before_train_epoch = after_val = _mark

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Record how long the process waited for the batch."""
        self.waited = perf_counter() - self.mark

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Record the iteration, and log the averages."""
        now = perf_counter()
        self.laps.append((count_images(data_batch) * runner.world_size, self.waited, now - self.mark))
        self.mark = now
        images, waited, seconds = map(sum, zip(*self.laps, strict=True))
        runner.message_hub.update_scalar('train/images_per_second', images / seconds)
        runner.message_hub.update_scalar('train/data_wait', waited / seconds)


def count_images(batch: Any) -> int:
    """Count the images in a batch made by one of mmengine's collate functions; return 0 for other batches."""
    if not isinstance(batch, dict):
        return 0
    samples = batch.get('data_samples')
    return len(batch.get('inputs', ()) if samples is None else samples)
