"""Arguments that several tools take; nothing here imports torch."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixmae_mm.utils.names import expand


def expanded(text: str) -> Path:
    """Parse a path, with a leading `~` expanded."""
    return Path(expand(text))


def counted(text: str) -> int:
    """Parse an integer of 1 or more."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f'{number}: give 1 or more')
    return number


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for console output; `console.start`, which runs before, reads them from `sys.argv` itself."""
    parser.add_argument('--debug', action='store_true', help='show errors with their full traceback; as --verbose')
    parser.add_argument('--verbose', action='store_true', help='show all that goes to the log file')
    parser.add_argument('--quiet', action='store_true', help='show only the progress line and errors')


class ImageSize(argparse.Action):
    """An action that stores `--image-size H [W]` as height and width; one number is both."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, nargs='+', type=counted, metavar=('H', 'W'), **settings)

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Sequence[int], *args: Any
    ) -> None:
        """Store height and width."""
        if len(values) > 2:
            parser.error(f'{args[0]} takes H, or H and W')
        setattr(namespace, self.dest, (values[0], values[-1]))


class Settings(argparse.Action):
    """An action that collects `key=value` pairs as typed; `load_config` parses the values."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *args: Any) -> None:
        """Add the pairs to those given before."""
        wrong = [value for value in values if not re.match(r'[^=]+=', value)]
        if wrong:
            parser.error(f'{args[0]} takes key=value pairs, got {wrong[0]}')
        pairs = dict(value.split('=', 1) for value in values)
        setattr(namespace, self.dest, {**(getattr(namespace, self.dest, None) or {}), **pairs})
