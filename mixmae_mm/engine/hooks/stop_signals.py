"""Signals that ask a process to stop, noted while it trains."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any


class StopSignals:
    """Signals that are noted: only the first one in a run of one process, all of them in a run of several.

    Launchers send a signal to all processes, and again when the first of these has ended.

    Args:
        names: Names of the signals, such as SIGTERM.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        unknown = [name for name in names if not hasattr(signal, name)]
        if unknown:
            raise ValueError(f'{unknown[0]} is not a signal of this system: use names such as SIGTERM')
        self.numbers = [getattr(signal, name) for name in names]
        self.came, self.is_alone = False, True
        self.handlers: dict[int, Any] = {}
        """The previous handlers of the signals."""

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note signals if this is the main thread, and restore their handlers afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._note) for number in self.numbers}
        self.handlers = {number: handler or signal.SIG_DFL for number, handler in before.items()}  # None: not Python's
        LISTENING.append(self)
        try:
            yield
        finally:
            LISTENING.remove(self)
            self.came = False
            self.leave()

    def leave(self) -> None:
        """Restore the previous handlers."""
        for number, handler in self.handlers.items():
            signal.signal(number, handler)

    def ignore_from_now(self) -> None:
        """Ignore the signals while this process ends."""
        self.handlers = dict.fromkeys(self.handlers, signal.SIG_IGN)
        self.leave()

    def _note(self, number: int, frame: FrameType | None) -> None:
        """Note a signal."""
        self.came = True
        if self.is_alone:
            signal.signal(number, self.handlers[number])


LISTENING: list[StopSignals] = []
"""The signals that this process listens for; forked processes do not."""


def _hold(how: int) -> None:
    """Block or unblock the signals around a fork, as one that arrives too early would be lost."""
    for signals in LISTENING:
        signal.pthread_sigmask(how, signals.numbers)


def _leave_all() -> None:
    """Restore the handlers of all signals in a forked process."""
    for signals in LISTENING:
        signals.leave()
    _hold(signal.SIG_UNBLOCK)
    LISTENING.clear()


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(
        before=partial(_hold, signal.SIG_BLOCK),
        after_in_parent=partial(_hold, signal.SIG_UNBLOCK),
        after_in_child=_leave_all,
    )
