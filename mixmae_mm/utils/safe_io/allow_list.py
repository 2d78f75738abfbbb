"""The types that a checkpoint may name; a file that names any other is refused."""

import _codecs
import importlib
import pickle
from argparse import Namespace
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any

import numpy as np
from mmengine.logging import HistoryBuffer
from torch import serialization

STATISTICS = ('min', 'max', 'current', 'mean')
ONE_CYCLE = 'mmengine.optim.scheduler.param_scheduler'
ANNEALING = ('_annealing_cos', '_annealing_linear')
"""Functions, one of which the state of a one-cycle schedule refers to."""
UNSPEAKABLE = '\n'
"""Suffix of a name that no pickle can give PyTorch, which reads names up to the end of the line."""


def allow_checkpoint_types() -> None:
    """Let `torch.load(weights_only=True)` read mmengine's checkpoints, by adding our types to PyTorch's list.

    Types that we have stand-ins for are removed from that list, where OneDL's mmengine and common advice put them.
    """
    if not hasattr(serialization, 'get_unsafe_globals_in_checkpoint'):
        raise ImportError('checkpoints cannot be read safely before torch 2.6: pip install "torch>=2.6"')
    ours, theirs = allowed_types(), serialization.get_safe_globals()
    named = [entry if isinstance(entry, tuple) else (entry, _full_name(entry)) for entry in theirs]
    kept = [entry for entry, (value, name) in zip(theirs, named, strict=True) if ours.get(name, value) is value]
    serialization.clear_safe_globals()
    serialization.add_safe_globals([*kept, *((value, name) for name, value in ours.items())])


def allowed_types() -> dict[str, Callable]:
    """Map each name that a checkpoint may contain to what it stands for.

    From numpy 1 and 2 these are arrays and numbers, except arrays of Python objects. Because numpy takes any bytes for
    addresses of objects, as in `np.ndarray((1,), 'O', bytes(8))`, a file that may call its types can crash the process,
    or worse. Therefore stand-ins are called in their place.
    """
    core = np._core if hasattr(np, '_core') else np.core
    kinds = {type(np.dtype(code)) for code in np.typecodes['All'] if code not in 'OV'}
    named = {_full_name(kind): kind for kind in (defaultdict, Namespace, HistoryBuffer, *kinds)}
    for place in ('numpy.core', 'numpy._core'):
        named[f'{place}.multiarray._reconstruct'] = empty_array
        named[f'{place}.multiarray.scalar'] = core.multiarray.scalar
        named[f'{place}.numeric._frombuffer'] = core.numeric._frombuffer
    named |= {'builtins.getattr': known_function, f'{ONE_CYCLE}.OneCycleParamScheduler': one_cycle}
    # PyTorch fills arrays only if their type is on the list: here under a name that no file can call
    return named | {'numpy.ndarray': array_type, 'numpy.dtype': data_type, f'numpy.ndarray{UNSPEAKABLE}': np.ndarray}


def _full_name(kind: Callable) -> str:
    """Return the name by which pickles refer to a class or function."""
    return f'{kind.__module__}.{kind.__qualname__}'


def known_function(owner: Callable, name: str) -> Callable:
    """Stand in for `getattr`, by which pickles refer to methods, and by which a malicious file could reach anything."""
    if owner is HistoryBuffer and name in STATISTICS:
        return getattr(owner, name)
    if owner is one_cycle and name in ANNEALING:
        return getattr(importlib.import_module(ONE_CYCLE).OneCycleParamScheduler, name)
    raise UnpicklingError(f'it asks for {name!r} of {owner!r}, which no log or schedule needs: damaged or malicious')


def one_cycle(*_: object) -> None:
    """Stand in for mmengine's one-cycle schedule: pickles refer to its functions, but do not call the class."""
    raise UnpicklingError(f'it calls {ONE_CYCLE}.OneCycleParamScheduler: it is damaged or malicious')


def array_type(*_: object) -> None:
    """Stand in for `np.ndarray`, which pickles refer to but do not call."""
    raise UnpicklingError('it calls numpy.ndarray with its own content: it is damaged or malicious')


def empty_array(kind: Callable, *_: object) -> np.ndarray:
    """Stand in for numpy's `_reconstruct`, which creates an array to be filled afterwards."""
    if kind is not array_type:
        raise UnpicklingError(f'it asks for an array of the type {kind!r}')
    return np.empty(0, np.int8)


def data_type(*arguments: object) -> np.dtype:
    """Stand in for `np.dtype`; refuse data types with Python objects."""
    dtype = np.dtype(*arguments)
    if dtype.hasobject:
        raise UnpicklingError('it asks for an array of Python objects (numpy.dtype("O")), which could be anything')
    return dtype


class PlainUnpickler(pickle.Unpickler):
    """An unpickler for plain data, in any protocol, that was not written by PyTorch."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what a name on the list stands for; raise `UnpicklingError` for any other."""
        more = {'collections.OrderedDict': OrderedDict, '_codecs.encode': _codecs.encode}
        allowed = (allowed_types() | more).get(f'{module}.{name}')
        if allowed is None or name.endswith(UNSPEAKABLE):
            raise UnpicklingError(f'it asks for {module}.{name}')
        return allowed
