"""Console output of the tools that train and test: a few lines, warnings that matter, and one line of progress.

Everything else goes to the run's log file: library logs below the level of a warning, what libraries print, and their
deprecation warnings. This holds in a process that called `start`; a runner built elsewhere prints as mmengine does.
"""

import functools
import logging
import os
import re
import shutil
import sys
import time
from collections import Counter
from logging.handlers import MemoryHandler
from typing import Any, ClassVar, TextIO

from mixmae_mm.utils import compat

EVENTS = re.compile(  # log messages of libraries that are shown
    'best checkpoint with|^resumed epoch|^Load checkpoint|'
    '^the monitored metric did not improve|^Stopping threshold reached|^Monitored metric .* is infinite'
)
ROUTINE = re.compile(
    r'(Deprecation|Future)Warning: |deprecated|alias of|prefix is not set|has been overridden after'
)  # warnings of libraries that are not shown
LIBRARIES = {'mmengine', 'mmcv', 'mmpretrain', 'mmdet', 'mmseg'}  # even if they are not in site-packages
RANKS = ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK')  # of a process, one for each launcher
HANDS_ON = ('logging', 'warnings', 'mmengine.logging', __name__)  # modules that pass on what others log
MOST = 3  # warnings shown that differ only in numbers, or in what follows their first colon
REDRAW, REPEAT = 0.1, 20.0  # s between updates of the line on a terminal, and between lines elsewhere


class Console:
    """A terminal with a progress line that is rewritten in place, or a pipe that gets a new progress line at times.

    Args:
        stream: Standard output.
        log: Handler of what is not shown.
        quiet: Show progress and errors only.
    """

    current: ClassVar['Console | None'] = None

    def __init__(self, stream: TextIO, log: MemoryHandler, quiet: bool = False) -> None:
        self.stream, self.log, self.quiet = stream, log, quiet
        self.rewrites = stream.isatty() and os.environ.get('TERM') != 'dumb'
        self.line, self.drawn, self.broken = '', False, False  # `broken`: the last text ended in mid-line
        self.time, self.warned = -REPEAT, Counter()

    def write(self, text: str, stream: TextIO | None = None) -> None:
        """Write in place of the progress line, which the next step redraws."""
        self.stream.write('\r\x1b[K' * self.drawn)
        self.flush()
        self.drawn, self.broken = False, not text.endswith('\n')
        (stream or self.stream).write(text)

    def flush(self) -> None:
        """Flush the stream."""
        self.stream.flush()

    def say(self, text: str) -> None:
        """Write a line, unless the console is quiet."""
        if not self.quiet:
            self.write(f'{text}\n')
            self.flush()

    def progress(self, line: str, last: bool = False) -> None:
        """Show the progress line, but not too often; a `last` line is shown regardless, and stays."""
        now, again = time.monotonic(), line == self.line and not self.rewrites
        if again or (now - self.time < (REDRAW if self.rewrites else REPEAT) and not last):
            return
        self.line, self.time = line, now
        cut = line[: shutil.get_terminal_size().columns - 1]
        self.stream.write('\n' * self.broken + (f'\r{cut}\x1b[K' + '\n' * last if self.rewrites else f'{line}\n'))
        self.drawn, self.broken = self.rewrites and not last, False
        self.flush()

    def shows(self, record: logging.LogRecord) -> bool:
        """Return whether to show a record; must be called where it is logged, because it examines the call stack."""
        if record.levelno >= logging.ERROR:
            return True
        text = record.getMessage()
        if record.levelno < logging.WARNING:
            return not self.quiet and bool(EVENTS.search(text) or not from_library())
        pythons = record.name == 'py.warnings'  # file:line: category: message
        if ROUTINE.search(text) and (from_library() or not pythons):
            return False
        kind = re.sub(r'\d+', '', ':'.join(text.split(':')[: 4 if pythons else 1]))
        self.warned[kind] += 1
        record.last, record.held = self.warned[kind] == MOST, self.quiet or self.warned[kind] > MOST
        return not record.held

    def release(self) -> None:
        """Write the warnings held for the log file to standard error, for a run that fails before it has one."""
        for record in self.log.buffer:
            if getattr(record, 'held', False):
                print(OneLine().format(record), file=sys.stderr)
        self.log.buffer.clear()

    def take(self, handler: logging.StreamHandler) -> logging.StreamHandler:
        """Make a handler write to this console, and only what is shown."""
        handler.setStream(self)
        handler.setFormatter(OneLine())
        handler.addFilter(self.shows)
        return handler


class Printed:
    """Standard output or error that prints above the progress line.

    What libraries print to standard output goes to the log.
    """

    def __init__(self, stream: TextIO, console: Console) -> None:
        self.stream, self.console, self.begun = stream, console, ''

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the stream."""
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write text, or log what a library prints to standard output."""
        if self.stream is not self.console.stream or not (self.console.quiet or from_library()):
            self.console.write(text, self.stream)
            return len(text)
        *lines, self.begun = (self.begun + text).split('\n')
        for line in filter(str.strip, lines):
            record = dict(name='stdout', levelno=logging.INFO, levelname='INFO', msg=line)
            self.console.log.handle(logging.makeLogRecord(record))
        return len(text)


class OneLine(logging.Formatter):
    """A formatter that reduces a warning to one line, and says what more is in the log; errors stay complete."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        first, *more = record.getMessage().strip().splitlines() or ['']
        if record.levelno >= logging.ERROR:
            return f'error: {super().format(record)}'
        cause = f': {record.exc_info[1]}' if record.exc_info else ''
        rest = f' ({len(more)} more line(s) in the log file)' if more and record.name != 'py.warnings' else ''
        rest += ' (more of these in the log file only)' * getattr(record, 'last', False)
        return 'warning: ' * (record.levelno == logging.WARNING) + first + cause + rest


def from_library() -> bool:
    """Return whether the current print or log call comes from an installed library other than ours."""
    frame = sys._getframe(1)
    while frame.f_back and str(frame.f_globals.get('__name__')).startswith(HANDS_ON):
        frame = frame.f_back
    root, path = str(frame.f_globals.get('__name__')).partition('.')[0], frame.f_code.co_filename
    return root in LIBRARIES or ('-packages' in path and root not in ('mixmae_mm', '__main__'))


def start() -> None:
    """Take over the console, once and before libraries are imported, unless there is `--verbose` or `--debug`."""
    asked = {option for option in ('--verbose', '--debug', '--quiet') for word in sys.argv if word[:5] == option[:5]}
    if Console.current or asked & {'--verbose', '--debug'}:
        return
    log = MemoryHandler(sys.maxsize)  # until there is a file
    first = all(os.environ.get(name, '0') == '0' for name in RANKS)  # the one process that prints
    Console.current = console = Console(sys.stdout, log, '--quiet' in asked or not first)
    sys.stdout, sys.stderr = Printed(sys.stdout, console), Printed(sys.stderr, console)
    logging.captureWarnings(True)
    warned = logging.getLogger('py.warnings')
    warned.handlers, warned.propagate = [log, console.take(logging.StreamHandler())], False
    compat.apply()
    from mmengine.logging import MMLogger

    MMLogger.__init__ = _taken(MMLogger.__init__, console, log)


def _taken(init: Any, console: Console, log: MemoryHandler) -> Any:
    """Return a constructor of loggers that write to the console, and what it does not show to a run's log file."""

    @functools.wraps(init)
    def construct(self: logging.Logger, name: str, *args: Any, **settings: Any) -> None:
        """Construct the logger; mmengine looks for an argument `name`."""
        init(self, name, *args, **settings)
        for handler in self.handlers:
            if type(handler) is logging.StreamHandler:
                console.take(handler)
        if settings.get('log_file'):
            files = [handler for handler in self.handlers if isinstance(handler, logging.FileHandler)]
            log.setTarget(files[0] if files else logging.NullHandler())  # the file is rank 0's
            log.capacity = 1
            log.flush()

    return construct
