"""What mmengine does beside every run, cut short: laying out configs for logs and checkpoints, asking compilers."""

import functools

from mixmae_mm.utils import compat

compat.apply()  # before torch and mmengine

import mmengine.runner.runner
from yapf.yapflib import yapf_api


def as_it_is(text, **settings):
    """Return the text in place of `FormatCode`, and that nothing changed."""
    return text, False


def make_runs_quick():
    """Spare tiny runs what takes longer than they do. A config is written as it is without yapf, which stays Python."""
    yapf_api.FormatCode = as_it_is
    mmengine.runner.runner.collect_env = functools.cache(mmengine.runner.runner.collect_env)
