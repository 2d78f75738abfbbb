"""What pickled arrays and numbers of numpy are made of, without arrays of Python objects.

Numpy makes such an array of any bytes, `np.ndarray((1,), 'O', bytes(8))`, and takes them for addresses of objects:
whoever may call its types from a checkpoint can crash the process, or worse. So stand-ins are called in their place.
"""

from collections.abc import Callable
from pickle import UnpicklingError
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

UNSPEAKABLE = '\n'
"""Ends a name that no pickle of PyTorch's can give, as names end there with the line."""


def numpy_types() -> dict[str, Callable]:
    """Map the names of types and functions, of numpy 1 and numpy 2, to what they stand for."""
    import numpy as np

    core = np._core if hasattr(np, '_core') else np.core
    functions = {'multiarray._reconstruct': empty_array, 'multiarray.scalar': core.multiarray.scalar,
                 'numeric._frombuffer': core.numeric._frombuffer}
    named = {f'numpy.{place}.{name}': function for name, function in functions.items() for place in ('core', '_core')}
    kinds = {type(np.dtype(code)) for code in np.typecodes['All'] if code not in 'OV'}
    named |= {f'{kind.__module__}.{kind.__qualname__}': kind for kind in kinds}
    # PyTorch fills arrays only if their type is on the list, where none but we may call it
    return named | {'numpy.ndarray': array_type, 'numpy.dtype': data_type, f'numpy.ndarray{UNSPEAKABLE}': np.ndarray}


def array_type(*_: object) -> None:
    """Stand in for numpy's type of arrays, which pickles name and do not call.

    Raises:
        UnpicklingError: whenever it is called.
    """
    raise UnpicklingError('it asks for numpy.ndarray, called with content of its own: it is damaged or malicious')


def empty_array(kind: Callable, *_: object) -> 'np.ndarray':
    """Stand in for numpy's function that begins an array, which is filled afterwards.

    Raises:
        UnpicklingError: another type is wanted.
    """
    import numpy as np

    if kind is not array_type:
        raise UnpicklingError(f'it asks for an array of the type {kind!r}')
    return np.empty(0, np.int8)


def data_type(*arguments: object) -> 'np.dtype':
    """Stand in for numpy's type of data types.

    Raises:
        UnpicklingError: it is of Python objects.
    """
    import numpy as np

    dtype = np.dtype(*arguments)
    if dtype.hasobject:
        raise UnpicklingError('it asks for an array of Python objects (numpy.dtype("O")), which could be anything')
    return dtype
