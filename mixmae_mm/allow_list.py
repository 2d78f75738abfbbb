"""The types that a checkpoint may name; whatever names another is refused unread."""

import pickle
from argparse import Namespace
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any, BinaryIO

Allowed = type | tuple[Callable, str]
STATISTICS = ('min', 'max', 'current', 'mean')


def allow_checkpoint_types() -> None:
    """Let `torch.load(weights_only=True)` read mmengine's checkpoints, which is its default since torch 2.6.

    What they hold beside tensors is plain data, allowed here under the names of numpy 1 and of numpy 2, the parsed
    arguments that the official MixMIM and MAE store, and the log's four statistics, looked up by `log_statistic`.
    Python's own `getattr` is taken off the list, where OneDL's mmengine and much advice on the web put it.

    Thread: open-mmlab/mmengine#1655, open-mmlab/mmengine#1650.

    Raises:
        ImportError: torch is older than 2.6, whose `weights_only=True` can be made to run code (CVE-2025-32434).
    """
    from torch import serialization

    if not hasattr(serialization, 'get_unsafe_globals_in_checkpoint'):
        raise ImportError('checkpoints cannot be read safely before torch 2.6: pip install "torch>=2.6"')
    theirs = serialization.get_safe_globals()
    if getattr in theirs:
        serialization.clear_safe_globals()
        serialization.add_safe_globals([entry for entry in theirs if entry is not getattr])
    serialization.add_safe_globals(allowed_types())


def allowed_types() -> list[Allowed]:
    """List what may be named, as `torch.serialization.add_safe_globals` takes it."""
    from mmengine.logging import HistoryBuffer

    return [defaultdict, Namespace, HistoryBuffer, (log_statistic, 'builtins.getattr'), *numpy_types()]


def numpy_types() -> list[Allowed]:
    """List what pickled arrays and numbers of numpy are made of, arrays of objects and structures excepted."""
    import numpy as np

    core = np._core if hasattr(np, '_core') else np.core
    functions = (core.multiarray._reconstruct, core.multiarray.scalar)
    names = [(function, f'numpy.{place}.multiarray.{function.__name__}')
             for function in functions for place in ('core', '_core')]
    return [np.ndarray, np.dtype, *{type(np.dtype(code)) for code in np.typecodes['All'] if code not in 'OV'}, *names]


def log_statistic(owner: type, name: str) -> Callable:
    """Stand in for `getattr`, with which a pickled log names its statistics and a malicious file could reach anything.

    Raises:
        UnpicklingError: if it is asked for anything but a statistic of mmengine's log.
    """
    from mmengine.logging import HistoryBuffer

    if owner is not HistoryBuffer or name not in STATISTICS:
        raise UnpicklingError(f'this checkpoint asks for {name!r} of {owner!r}, which no training log needs: it is '
                              'damaged or malicious; load it only if you trust where it is from')
    return getattr(owner, name)


class PlainUnpickler(pickle.Unpickler):
    """Reads pickles of plain data, of any protocol: for those that are not PyTorch's."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a type on the list.

        Raises:
            UnpicklingError: the pickle names another.
        """
        pairs = [entry if isinstance(entry, tuple) else (entry, f'{entry.__module__}.{entry.__qualname__}')
                 for entry in (OrderedDict, *allowed_types())]
        allowed = {full_name: value for value, full_name in pairs}
        if f'{module}.{name}' not in allowed:
            raise UnpicklingError(f'it asks for {module}.{name}')
        return allowed[f'{module}.{name}']


def read_plain_pickle(file: BinaryIO) -> object:
    """Read a pickle of plain data.

    Raises:
        UnpicklingError: it names a type that is not on the list.
    """
    return PlainUnpickler(file).load()
