"""Known traps of the stack that can be mended from within, and are when the package is imported, only where needed.

Nothing here changes what a sound stack does, and nothing may stop an import: a missing or broken package is for
`python -m mixmae_mm.doctor` to report.
"""

import contextlib
import importlib.util
import os
import sys
import tempfile
from argparse import Namespace
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError

NMS_SCHEMA = '(Tensor dets, Tensor scores, float iou_threshold) -> Tensor'


def apply() -> None:
    """Mend what can be mended; each by itself, so that one that cannot be leaves the others alone."""
    mends = (let_waiting_threads_sleep, import_formatter_alone, define_torchvision_operators, allow_checkpoint_types,
             let_configs_inherit_ours, find_ourselves_in_place)
    for mend in mends:
        with contextlib.suppress(Exception):
            mend()


def let_waiting_threads_sleep() -> None:
    """Keep torch's threads from burning the cores that loader workers need, while they wait for each other.

    GNU OpenMP's own setting spins for long: on two busy cores that took most of a step's processor time. Sleeping at
    once costs as much where waking is slow, as in virtual machines: a third to a fifth of a step on two idle cores. So
    threads spin for a part of a millisecond and then sleep, which was best or near it idle and busy
    (docs/performance.md). It is read when torch is first imported, so tools import this package before torch.
    """
    if 'OMP_WAIT_POLICY' not in os.environ:
        os.environ['OMP_WAIT_POLICY'] = 'PASSIVE'
        os.environ.setdefault('GOMP_SPINCOUNT', '10000')


def import_formatter_alone() -> None:
    """Import yapf, with which mmengine prints configs, in one process of this machine after the other.

    On its first import in an environment yapf writes its grammar to a cache without a lock; of two ranks that start
    together, one then reads half a file and ends with `EOFError: Ran out of input`. Upstream mmengine imports it by
    itself, so this comes before anything of mmengine. Can go when yapf writes its cache in one step.
    """
    import fcntl

    with Path(tempfile.gettempdir(), f'mixmae_mm-yapf-{os.getuid()}.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        importlib.import_module('yapf')


def define_torchvision_operators() -> bool:
    """Let torchvision be imported where its compiled part cannot load beside this torch; tell whether it was needed.

    A CPU build of torch beside a CUDA build of torchvision ends in `operator torchvision::nms does not exist` as soon
    as torchvision is imported, because it describes two operators that its compiled part was to bring. With their
    schemas defined beforehand its transforms work; calling the operators still fails, with torchvision's own message.

    Thread: pytorch/pytorch#122494, pytorch/pytorch#157648. Can go when torchvision describes its operators only after
    loading them.
    """
    if 'torchvision' in sys.modules or not torchvision_is_crippled():
        return False
    import torch
    for name in ('nms', 'qnms'):
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f'torchvision::{name}', NMS_SCHEMA)
    return True


def torchvision_is_crippled() -> bool:
    """Tell whether torchvision is there with a compiled part that is missing or does not load beside this torch."""
    spec = importlib.util.find_spec('torchvision')
    if spec is None or spec.origin is None:
        return False
    import torch
    try:
        torch.ops.load_library(str(next(Path(spec.origin).parent.glob('_C*.*'))))
    except (OSError, StopIteration):
        return True
    return False


def allow_checkpoint_types() -> None:
    """Let `torch.load` read mmengine's checkpoints without trusting them, as it refuses to since torch 2.6.

    Upstream mmengine calls it with the new `weights_only=True` and cannot resume; OneDL's falls back to loading
    anything a checkpoint asks for. What they hold beside tensors is plain data, allowed here under the names of numpy 1
    and of numpy 2, the parsed arguments that the official MixMIM and MAE store, and the log's four statistics, looked
    up by `log_statistic`. Anything else is refused as before.

    Thread: open-mmlab/mmengine#1655, open-mmlab/mmengine#1650. Can go when no upstream mmengine has to be supported.
    """
    from torch import serialization
    if hasattr(serialization, 'get_unsafe_globals_in_checkpoint'):  # since torch 2.6
        serialization.add_safe_globals([defaultdict, Namespace, *numpy_types()])
        from mmengine.logging import HistoryBuffer
        serialization.add_safe_globals([HistoryBuffer, (log_statistic, 'builtins.getattr')])


def let_configs_inherit_ours() -> None:
    """Let other repositories write `_base_ = 'mixmae_mm::...'`, which mmengine allows for a fixed list of packages."""
    from mmengine.config import utils
    utils.MODULE2PACKAGE.setdefault('mixmae_mm', 'mixmae_mm')


def find_ourselves_in_place() -> None:
    """Tell mmengine where this package lies, which upstream's looks for in site-packages though it is elsewhere.

    It is after `pip install -e .`; `_base_ = 'mixmae_mm::...'` then ended in a `FileNotFoundError`. Can go when no
    upstream mmengine has to be supported.
    """
    from mmengine import utils
    from mmengine.config import config
    found = config.get_installed_path

    def get_installed_path(package: str) -> str:
        """Return a package's folder: ours from here, others' from mmengine."""
        return str(Path(__file__).parent) if package == 'mixmae_mm' else found(package)

    config.get_installed_path = utils.get_installed_path = get_installed_path


def log_statistic(owner: type, name: str) -> Callable:
    """Stand in for `getattr`, with which a pickled log names its statistics and a malicious file could reach anything.

    Raises:
        UnpicklingError: if it is asked for anything but a statistic of mmengine's log.
    """
    from mmengine.logging import HistoryBuffer
    if owner is not HistoryBuffer or name not in ('min', 'max', 'current', 'mean'):
        raise UnpicklingError(f'this checkpoint asks for {name!r} of {owner!r}, which no training log needs: it is '
                              'damaged or malicious; load it only if you trust where it is from')
    return getattr(owner, name)


def numpy_types() -> list[type | tuple[Callable, str]]:
    """List what pickled arrays and numbers of numpy are made of."""
    import numpy as np
    core = np._core if hasattr(np, '_core') else np.core
    functions = (core.multiarray._reconstruct, core.multiarray.scalar)
    names = [(function, f'numpy.{place}.multiarray.{function.__name__}')
             for function in functions for place in ('core', '_core')]
    return [np.ndarray, np.dtype, *{type(np.dtype(code)) for code in np.typecodes['All'] if code != 'O'}, *names]
