"""Speed, waiting time and remaining time of a run."""

import math
import sys
from datetime import timedelta
from time import perf_counter
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from rich.console import Console

from mixmae_mm.engine.hooks.live_line import LiveLine
from mixmae_mm.engine.hooks.throughput import Meter, count_images
from mixmae_mm.registry import HOOKS
from mixmae_mm.utils.validation import check_whole


@HOOKS.register_module()
class ProgressHook(Hook):
    """One live line on a terminal; elsewhere two more numbers in the log lines.

    The numbers are `images_per_second` (of the whole job, all ranks) and `data_wait` (share of the time), averaged
    over the last iterations. They go to the message hub, from which the logger prints them and TensorBoard gets them.
    The hook comes last, so that an iteration is counted whole and saving a checkpoint is not taken for waiting; so a
    log line has the numbers up to the iteration before it.

    Args:
        window: iterations to average over.
        refresh: least seconds between two redrawings of the line.
        console: where the line is drawn; by default the standard output, if that is a terminal.

    Raises:
        ValueError: no iterations, a negative time, or an invalid console.
    """

    priority = 'LOWEST'

    def __init__(self, window: int = 50, refresh: float = 0.2, console: Console | None = None) -> None:
        check_whole(window=window)
        if not isinstance(refresh, int | float) or not 0 <= refresh < math.inf:
            raise ValueError(f'refresh must be a number of seconds, 0 or more, got {refresh!r}')
        if not (console is None or isinstance(console, Console)):
            raise ValueError(f"console must be one of rich's, or None for the standard output, got {console!r}")
        self.window = window
        # Asked of the stream itself: rich would also believe FORCE_COLOR, and draw into a log file.
        self.line = LiveLine(console or Console(force_terminal=sys.stdout.isatty()), refresh)

    def before_run(self, runner: Runner) -> None:
        """Open the line in the process whose log is on the terminal."""
        if runner.rank == 0:
            self.line.start(runner.logger)

    def after_run(self, runner: Runner) -> None:
        """Close the line."""
        self.line.stop()

    def before_train(self, runner: Runner) -> None:
        """Start the clock of the run, from which the remaining time is estimated."""
        self.train_meter = Meter(self.window)
        self.started, self.first = perf_counter(), runner.iter

    def _before_epoch(self, runner: Runner, mode: str = 'train') -> None:
        """Start to wait for the first batch."""
        self.meter = self.train_meter if mode == 'train' else Meter(self.window)
        self.mark = perf_counter()

    def _after_epoch(self, runner: Runner, mode: str = 'train') -> None:
        """Back to training, where an iteration-based loop continues the epoch it was in."""
        self.meter = getattr(self, 'train_meter', None)
        self.mark = perf_counter()

    def _before_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, mode: str = 'train') -> None:
        """The batch is there: waiting ends."""
        self.waited = perf_counter() - self.mark

    def _after_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None, mode: str = 'train'
    ) -> None:
        """Count the iteration and display it."""
        now = perf_counter()
        self.meter.add(count_images(data_batch) * runner.world_size, self.waited, now - self.mark)
        self.mark = now
        if mode == 'train':
            for name in ('images_per_second', 'data_wait'):
                runner.message_hub.update_scalar(f'train/{name}', getattr(self.meter, name))
            done, total = runner.iter + 1, runner.max_iters
            left = (now - self.started) / (done - self.first) * (total - done)
        else:
            done, total = batch_idx + 1, len(getattr(runner, f'{mode}_dataloader'))
            left = self.meter.seconds / len(self.meter.laps) * (total - done)
        self.line.show(f'{self._where(runner, mode)} {done}/{total}  {self._numbers(runner, left, mode)}', done, total)

    def _where(self, runner: Runner, mode: str) -> str:
        """Name the stage, and the epoch where there is more than one."""
        if mode != 'train':
            return mode
        return f'epoch {runner.epoch + 1}/{runner.max_epochs}  iter' if runner.max_epochs > 1 else 'iter'

    def _numbers(self, runner: Runner, left: float, mode: str) -> str:
        """Format remaining time, loss, speed and waiting; a narrow terminal cuts off the end."""
        scalars = runner.message_hub.log_scalars
        loss = f'loss {scalars["train/loss"].current():.4f}  ' if mode == 'train' and 'train/loss' in scalars else ''
        return (
            f'eta {timedelta(seconds=round(left))}  {loss}{self.meter.images_per_second:.1f} images/s  '
            f'data wait {self.meter.data_wait:.0%}'
        )
