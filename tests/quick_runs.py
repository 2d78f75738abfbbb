"""What mmengine does beside every run, cut short: laying out the config for each log and checkpoint, asking compilers.

Either takes longer than a tiny run does. A config is written as it is without yapf, which stays Python.
"""

import functools

import mixmae_mm  # noqa: F401  before mmengine

# isort: split
import mmengine.runner.runner
from yapf.yapflib import yapf_api


def as_it_is(text, **settings):
    """Return the text in place of `FormatCode`, and that nothing changed."""
    return text, False


yapf_api.FormatCode = as_it_is
mmengine.runner.runner.collect_env = functools.cache(mmengine.runner.runner.collect_env)
