"""The types that a checkpoint may name; whatever names another is refused unread."""

import _codecs
import importlib
import pickle
from argparse import Namespace
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any, BinaryIO

from mixmae_mm.utils.safe_io.plain_arrays import UNSPEAKABLE, numpy_types

STATISTICS = ('min', 'max', 'current', 'mean')
ONE_CYCLE = 'mmengine.optim.scheduler.param_scheduler'
ANNEALING = ('_annealing_cos', '_annealing_linear')
"""Functions of which the state of a one-cycle schedule holds one."""


def allow_checkpoint_types() -> None:
    """Let `torch.load(weights_only=True)` read mmengine's checkpoints, which is its default since torch 2.6.

    What they hold beside tensors is plain data, allowed here under the names of numpy 1 and of numpy 2, the parsed
    arguments that the official MixMIM and MAE store, and six functions of mmengine's, looked up by `known_function`.
    Whatever we have a stand-in for is taken off the list, where OneDL's mmengine and much advice on the web put it.

    Thread: open-mmlab/mmengine#1655, open-mmlab/mmengine#1650.

    Raises:
        ImportError: torch is older than 2.6, whose `weights_only=True` can be made to run code (CVE-2025-32434).
    """
    from torch import serialization

    if not hasattr(serialization, 'get_unsafe_globals_in_checkpoint'):
        raise ImportError('checkpoints cannot be read safely before torch 2.6: pip install "torch>=2.6"')
    ours, theirs = allowed_types(), serialization.get_safe_globals()
    named = [entry if isinstance(entry, tuple) else (entry, _full_name(entry)) for entry in theirs]
    kept = [entry for entry, (value, name) in zip(theirs, named, strict=True) if ours.get(name, value) is value]
    if len(kept) < len(theirs):
        serialization.clear_safe_globals()
        serialization.add_safe_globals(kept)
    serialization.add_safe_globals([(value, name) for name, value in ours.items()])


def allowed_types() -> dict[str, Callable]:
    """Map the names that may be given to what they stand for."""
    from mmengine.logging import HistoryBuffer

    own = {_full_name(kind): kind for kind in (defaultdict, Namespace, HistoryBuffer)}
    ours = {'builtins.getattr': known_function, f'{ONE_CYCLE}.OneCycleParamScheduler': one_cycle}
    return own | ours | numpy_types()


def _full_name(kind: Callable) -> str:
    """Return the name that pickles give something."""
    return f'{kind.__module__}.{kind.__qualname__}'


def known_function(owner: Callable, name: str) -> Callable:
    """Stand in for `getattr`, with which pickles name functions of classes and a malicious file could reach anything.

    Raises:
        UnpicklingError: It is asked for anything but a statistic of mmengine's log, or what anneals a schedule.
    """
    from mmengine.logging import HistoryBuffer

    if owner is HistoryBuffer and name in STATISTICS:
        return getattr(owner, name)
    if owner is one_cycle and name in ANNEALING:
        return getattr(importlib.import_module(ONE_CYCLE).OneCycleParamScheduler, name)
    raise UnpicklingError(f'this checkpoint asks for {name!r} of {owner!r}, which no log or schedule needs: it is '
                          'damaged or malicious; load it only if you trust where it is from')


def one_cycle(*_: object) -> None:
    """Stand in for mmengine's one-cycle schedule, whose functions pickles name and which they do not call.

    Raises:
        UnpicklingError: It is called.
    """
    raise UnpicklingError(f'it asks for {ONE_CYCLE}.OneCycleParamScheduler, called: it is damaged or malicious')


class PlainUnpickler(pickle.Unpickler):
    """Reads pickles of plain data, of any protocol: for those that are not PyTorch's."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what a name on the list stands for.

        Raises:
            UnpicklingError: the pickle gives another.
        """
        more = {'collections.OrderedDict': OrderedDict, '_codecs.encode': _codecs.encode}
        allowed = (allowed_types() | more).get(f'{module}.{name}')
        if allowed is None or name.endswith(UNSPEAKABLE):
            raise UnpicklingError(f'it asks for {module}.{name}')
        return allowed


def read_plain_pickle(file: BinaryIO) -> object:
    """Read a pickle of plain data.

    Raises:
        UnpicklingError: it names a type that is not on the list.
    """
    return PlainUnpickler(file).load()
