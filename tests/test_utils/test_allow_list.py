"""The allow list: logs, numbers, arrays and schedules are read, and nothing else, whatever was allowed before."""

import io
import os
import pickle
from pickle import UnpicklingError

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim import OneCycleParamScheduler
from mmengine.registry import PARAM_SCHEDULERS
from payloads import Called
from torch import nn, serialization

from mixmae_mm.utils.safe_io.allow_list import PlainUnpickler, allow_checkpoint_types, known_function, one_cycle

SCHEDULES = dict(
    CosineRestartLR=dict(periods=[5, 5], restart_weights=[1, 0.5], eta_min=0.0),
    MultiStepLR=dict(milestones=[2]),
    OneCycleLR=dict(eta_max=1.0, total_steps=10),
    ReduceOnPlateauLR=dict(monitor='loss'),
    CosineAnnealingMomentum=dict(T_max=5),
)
ARRAYS = dict(
    matrix=np.arange(6.0).reshape(2, 3),
    columns=np.asfortranarray(np.arange(6).reshape(2, 3)),
    number=np.float32(3),
    truth=np.bool_(True),
    texts=np.array(['x', 'yy']),
    day=np.array('2020-01-01', 'M8[D]'),
)


def by_torch(zipped):
    def there_and_back(value):
        stream = io.BytesIO()
        torch.save(value, stream, _use_new_zipfile_serialization=zipped)
        return torch.load(io.BytesIO(stream.getvalue()), weights_only=True)

    return there_and_back


def by_pickle(protocol):
    return lambda value: PlainUnpickler(io.BytesIO(pickle.dumps(value, protocol))).load()


EACH_WAY = pytest.mark.parametrize('there_and_back', [*map(by_torch, (True, False)), *map(by_pickle, (0, 2, 5))])


@pytest.fixture(autouse=True)
def allowed():
    yield allow_checkpoint_types()
    allow_checkpoint_types()


@EACH_WAY
def test_arrays_are_read(there_and_back):
    read = there_and_back(ARRAYS)
    for name, value in ARRAYS.items():
        assert (type(read[name]), read[name].dtype) == (type(value), value.dtype)
        assert np.array_equal(read[name], value)


@EACH_WAY
@pytest.mark.parametrize(
    'forged',
    [
        Called(np.ndarray, ((1,), 'O', b'8 bytes.')),
        Called(np.dtype, ('O',)),
        Called(np.dtype, ([('a', 'O')],)),
        np.array([1, 'a'], object),
    ],
)
def test_no_bytes_are_taken_for_addresses_of_objects(there_and_back, forged):
    """Numpy would take bytes from the file for addresses of Python objects."""
    with pytest.raises(UnpicklingError, match=r'it (calls numpy\.ndarray|asks for an array of Python objects)'):
        there_and_back(forged)


@pytest.mark.parametrize('kind', SCHEDULES)
def test_states_of_all_schedules_are_read(kind):
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0, momentum=0.9)
    written = PARAM_SCHEDULERS.get(kind)(optimizer, **SCHEDULES[kind]).state_dict()
    assert by_torch(True)(written) == written


@pytest.mark.parametrize('place', [b'numpy.core.multiarray', b'numpy._core.multiarray'])
def test_logs_of_numpy_1_and_of_numpy_2_are_read(place):
    """This includes statistics, which mmengine stores as methods of its class."""
    info = dict(best=np.float32(0.75), epoch=np.int64(3), done=np.bool_(True))
    stream = io.BytesIO()
    log = dict(loss=HistoryBuffer([0.5, 0.25], [1, 3]), info=info)
    torch.save(log, stream, _use_new_zipfile_serialization=False)
    written = stream.getvalue().replace(b'numpy._core.multiarray', b'numpy.core.multiarray')
    assert b'numpy.core.multiarray' in written
    read = torch.load(io.BytesIO(written.replace(b'numpy.core.multiarray', place)), weights_only=True)
    assert read['loss'].mean() == (0.5 + 0.25) / (1 + 3)  # as mmengine counts
    assert read['loss'].statistics('max') == 0.5
    assert read['info'] == info


@pytest.mark.parametrize('owner', [one_cycle, known_function(one_cycle, '_annealing_cos'), HistoryBuffer, torch])
def test_no_other_function_is_found(owner):
    for name in ('__init__', '__globals__', 'step', 'load', 'update'):
        with pytest.raises(UnpicklingError, match='which no log or schedule needs'):
            known_function(owner, name)


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        ((os.system, ('true',)), 'posix'),
        ((eval, ('1',)), 'eval'),
        ((getattr, (HistoryBuffer, '__init__')), "asks for '__init__' of <class 'mmengine"),
        ((getattr, (np.ndarray, 'mean')), "asks for 'mean' of <function array_type"),
        ((getattr, (dict, 'get')), 'dict'),
        ((getattr, (OneCycleParamScheduler, '__init__')), "asks for '__init__' of <function one_cycle"),
        ((OneCycleParamScheduler, ()), 'calls .*OneCycleParamScheduler: it is damaged or malicious'),
    ],
)
@pytest.mark.parametrize('others', [[], [getattr, np.ndarray, np.dtype, (getattr, 'builtins.getattr')]])
def test_what_no_log_holds_is_refused(call, message, others):
    """Even if OneDL's mmengine, or advice from the web, has added more to the list."""
    serialization.add_safe_globals([*others, Called])
    allow_checkpoint_types()
    assert Called in serialization.get_safe_globals()
    with pytest.raises(UnpicklingError, match=message):
        by_torch(True)(Called(*call))


def test_an_old_torch_is_not_trusted(monkeypatch):
    """A file can make its `weights_only=True` run code."""
    with monkeypatch.context() as patch:
        patch.delattr(serialization, 'get_unsafe_globals_in_checkpoint')
        with pytest.raises(ImportError, match=r'before torch 2.6: pip install "torch>=2.6"'):
            allow_checkpoint_types()
