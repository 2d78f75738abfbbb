"""Values that no setting is meant for, and how to find whether a class refuses them."""

import inspect
import math
import os
import traceback

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mixmae_mm

EXAMPLES = int(os.environ.get('EXAMPLES', 30))
ODD = st.sampled_from(
    [None, -1, 0, 1, 3, 1.5, 0.5, math.nan, math.inf, 'x', '', (), (0,), (1, 2, 3), (-1, -1), [2, 2, 2, 2], {}, True]
)
NOT_DRAWN = ('init_cfg', 'non_blocking', 'self')


def settings_of(kind):
    """Name what a class, and those of ours that it stands on, can be set to."""
    names = {}
    for each in kind.__mro__:
        if each.__module__.startswith('mixmae_mm') and '__init__' in vars(each):
            own = inspect.signature(each.__init__).parameters
            names |= own
            if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in own.values()):
                break  # what comes before cannot be set here
    various = inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL
    return [name for name, parameter in names.items() if name not in NOT_DRAWN and parameter.kind not in various]


def told_by_us(error):
    """Return whether an error was raised in our own lines, in words."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return bool(str(error)) and last.filename.startswith(mixmae_mm.__path__[0]) and last.line.startswith('raise ')


def attempt(work, *arguments):
    """Return what comes out, and the error where it is one that users expect."""
    try:
        return work(*arguments), None
    except (ValueError, TypeError, KeyError) as error:
        return None, error


def draw_odd(names, check, examples=EXAMPLES):
    """Call `check` with names of settings and odd values for them."""
    limits = settings(
        max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    limits(given(st.sampled_from(names), ODD)(check))()
