"""One line at the bottom of the terminal that is redrawn in place, with everything else printed above it."""

import atexit
import logging
from time import perf_counter

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text


class _AboveTheLine:
    """The stream a logging handler writes to while the line is live."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def write(self, text: str) -> None:
        """Print above the live line; long lines are left for the terminal to wrap, so that they can be copied."""
        self.console.print(Text.from_ansi(text.removesuffix('\n')), soft_wrap=True)

    def flush(self) -> None:
        """Do nothing: the console writes at once."""


class LiveLine:
    """Show a bar and a text, at most every `seconds`, on a terminal; do nothing on anything else.

    No thread refreshes it: loader workers are forked from the training process, and a thread holding the console's
    lock in that moment would leave a worker waiting for ever at its first warning.
    """

    def __init__(self, console: Console, seconds: float) -> None:
        self.console = console
        self.seconds = seconds
        self.streams: list[tuple[logging.StreamHandler, object]] = []
        self.progress: Progress | None = None

    def start(self, logger: logging.Logger) -> None:
        """Open the line, and print the messages of `logger` through its console."""
        if not self.console.is_terminal or self.console.is_dumb_terminal:
            return
        columns = (BarColumn(bar_width=10), TextColumn('{task.description}', markup=False))
        self.progress = Progress(*columns, console=self.console, auto_refresh=False, transient=True)
        self.progress.start()
        # A killed run must not leave the user's terminal without a cursor.
        self.console.show_cursor(True)
        atexit.register(self.stop)
        self.task = self.progress.add_task('starting', total=None)
        self.shown_at = -self.seconds
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
                self.streams.append((handler, handler.setStream(_AboveTheLine(self.console))))

    def show(self, text: str, done: int, total: int) -> None:
        """Redraw the line if it is time; a terminal that has gone away ends the line, not the run."""
        if self.progress is None or (perf_counter() - self.shown_at < self.seconds and done < total):
            return
        self.shown_at = perf_counter()
        try:
            self.progress.update(self.task, description=text, completed=done, total=total, refresh=True)
        except (OSError, UnicodeEncodeError):
            self.stop()

    def stop(self) -> None:
        """Take the line away and give the logger its own streams back."""
        progress, self.progress = self.progress, None
        for handler, stream in self.streams:
            handler.setStream(stream)
        self.streams.clear()
        atexit.unregister(self.stop)
        if progress is None:
            return
        try:
            progress.stop()
        except (OSError, UnicodeEncodeError):
            # Nobody is looking any more.
            return
