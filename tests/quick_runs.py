"""Shortcuts for what mmengine does around every run: formatting configs and querying compilers."""

import copy
import functools
from pathlib import Path

from mixmae_mm.utils import compat

compat.apply()  # before torch and mmengine

import mmengine.runner.runner
from mmengine.config import Config
from yapf.yapflib import yapf_api

CONFIGS = str(Path(__file__).parents[1] / 'configs')
read_file = Config._file2dict
read_once = functools.cache(read_file)


def as_it_is(text, **settings):
    """Replace `FormatCode`: return the text unchanged, and that nothing changed."""
    return text, False


def read_shipped_once(filename, *args, **kwargs):
    """Read a config or one that it inherits; those of this repository, which no test changes, only once."""
    if str(filename).startswith(CONFIGS):
        return copy.deepcopy(read_once(filename, *args, **kwargs))
    return read_file(filename, *args, **kwargs)


def make_runs_quick():
    """Skip what takes longer than tiny runs; configs are written without yapf's formatting, still as valid Python."""
    Config._file2dict = staticmethod(read_shipped_once)
    yapf_api.FormatCode = as_it_is
    mmengine.runner.runner.collect_env = functools.cache(mmengine.runner.runner.collect_env)
