"""Fixes of the stack: each where it is needed, and none in the way of an import."""

import os
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import pytest
import torch
from mmengine import utils
from mmengine.config import config
from mmengine.logging import HistoryBuffer
from torch import serialization

from mixmae_mm.utils import compat
from mixmae_mm.utils.safe_io.allow_list import allow_checkpoint_types

ROOT = Path(__file__).parents[2]
APPLY = 'from mixmae_mm.utils import compat; compat.apply()'


def python(code, *options, path=()):
    env = {**os.environ, 'PYTHONPATH': os.pathsep.join(map(str, [*path, ROOT])), 'OMP_NUM_THREADS': '1'}
    return subprocess.run([sys.executable, *options, '-c', code], env=env, cwd='/', capture_output=True, text=True)


def fake(folder, name, code):
    (folder / name).mkdir(parents=True)
    (folder / name / '__init__.py').write_text(code)
    return folder


# torchvision beside a foreign torch

DESCRIBES_NMS = """
import torch
@torch.library.register_fake('torchvision::nms')
def nms(dets, scores, iou_threshold): return dets
@torch.library.register_fake('torchvision::qnms')
def qnms(dets, scores, iou_threshold): return dets
"""


def test_torchvision_imports_after_us_where_it_does_not_alone(tmp_path):
    path = [fake(tmp_path, 'torchvision', DESCRIBES_NMS)]
    (tmp_path / 'torchvision' / '_C.so').write_text('compiled for another torch')
    assert 'operator torchvision::nms does not exist' in python('import torchvision', path=path).stderr
    assert python(f'{APPLY}; import torchvision', path=path).returncode == 0


@pytest.mark.parametrize(
    ('found', 'compiled', 'crippled'),
    [(True, 'not a library', True), (True, None, True), (True, 'sound', False), (False, None, False)],
)
def test_a_crippled_torchvision_is_recognized(tmp_path, monkeypatch, found, compiled, crippled):
    spec = ModuleSpec('torchvision', None, origin=str(tmp_path / '__init__.py')) if found else None
    monkeypatch.setattr(compat.importlib.util, 'find_spec', lambda name: spec)
    if compiled:
        (tmp_path / '_C.so').write_text(compiled)
    if compiled == 'sound':
        monkeypatch.setattr(torch.ops, 'load_library', lambda path: None)
    assert compat.torchvision_is_crippled() is crippled


# checkpoints of mmengine


@pytest.fixture
def checkpoint(tmp_path):
    log = HistoryBuffer([0.5, 0.25], [1, 3])
    info = dict(best=np.float32(0.75), worst=np.float64(2), epoch=np.int64(3), done=np.bool_(True))
    state = dict(meta=dict(cfg='x', seed=1), message_hub=dict(log_scalars=dict(loss=log), runtime_info=info))
    torch.save(state, tmp_path / 'epoch_1.pth')
    return state, tmp_path / 'epoch_1.pth'


def test_a_checkpoint_loads_with_us_and_not_without(checkpoint):
    state, file = checkpoint
    assert python(f'{APPLY}; import torch; torch.load({str(file)!r}, weights_only=True)').returncode == 0
    serialization.clear_safe_globals()
    try:
        with pytest.raises(UnpicklingError, match='HistoryBuffer'):
            torch.load(file, weights_only=True)
    finally:
        allow_checkpoint_types()
    loaded = torch.load(file, weights_only=True)['message_hub']
    assert loaded['log_scalars']['loss'].mean() == (0.5 + 0.25) / (1 + 3)  # as mmengine counts
    assert loaded['log_scalars']['loss'].statistics('max') == 0.5
    assert loaded['runtime_info'] == state['message_hub']['runtime_info']


@pytest.mark.parametrize('place', [b'numpy.core.multiarray', b'numpy._core.multiarray'])
def test_checkpoint_of_numpy_1_and_of_numpy_2(checkpoint, place):
    state, file = checkpoint
    torch.save(state, file, _use_new_zipfile_serialization=False)
    written = file.read_bytes().replace(b'numpy._core.multiarray', b'numpy.core.multiarray')
    assert b'numpy.core.multiarray' in written
    file.write_bytes(written.replace(b'numpy.core.multiarray', place))
    assert torch.load(file, weights_only=True)['message_hub']['log_scalars']['loss'].min() == 0.25


class Reduces:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        ((os.system, ('true',)), 'posix'),
        ((eval, ('1',)), 'eval'),
        ((getattr, (HistoryBuffer, '__init__')), "asks for '__init__' of <class 'mmengine"),
        ((getattr, (np.ndarray, 'mean')), "asks for 'mean' of <function array_type"),
    ],
)
@pytest.mark.parametrize('others', [[], [getattr, np.ndarray, np.dtype, (getattr, 'builtins.getattr')]])
def test_what_no_log_holds_is_refused(tmp_path, call, message, others):
    """Also where OneDL's mmengine, and advice on the web, have put more on the list."""
    torch.save(Reduces(*call), tmp_path / 'evil.pth')
    serialization.add_safe_globals([*others, Reduces])
    allow_checkpoint_types()
    assert Reduces in serialization.get_safe_globals()
    with pytest.raises(UnpicklingError, match=message):
        torch.load(tmp_path / 'evil.pth', weights_only=True)


def test_an_old_torch_is_not_trusted(monkeypatch):
    """Its `weights_only=True` can be made to run code."""
    monkeypatch.delattr(serialization, 'get_unsafe_globals_in_checkpoint')
    with pytest.raises(ImportError, match=r'before torch 2.6: pip install "torch>=2.6"'):
        allow_checkpoint_types()


# finding this package


def test_mmengine_finds_this_package_where_it_lies(monkeypatch):
    """Upstream's looks in site-packages alone, where a package installed in place is not."""
    monkeypatch.setattr(utils, 'get_installed_path', None)
    monkeypatch.setattr(config, 'get_installed_path', lambda package: f'/site-packages/{package}')
    compat.let_configs_inherit_ours()
    for module in (config, utils):
        assert module.get_installed_path('mixmae_mm') == str(ROOT / 'mixmae_mm')
        assert module.get_installed_path('mmdet') == '/site-packages/mmdet'


# importing the package


ALONE = """
import os, sys
modules, finders, environment = set(sys.modules), list(sys.meta_path), dict(os.environ)
import mixmae_mm
print(sorted(set(sys.modules) - modules), finders == sys.meta_path, environment == dict(os.environ))
"""


def test_import_alone_changes_nothing_and_needs_nothing_installed():
    answer = python(ALONE, '-S')
    assert answer.stdout.strip() == "['mixmae_mm', 'mixmae_mm.version'] True True", answer.stderr


@pytest.mark.parametrize('package', ['registry', 'apis', 'models', 'datasets', 'engine.hooks'])
def test_packages_that_meet_the_libraries_fix_them_first(package):
    asked = 'print(compat.apply.cache_info().currsize)'
    answer = python(f'import mixmae_mm.{package}; from mixmae_mm.utils import compat; {asked}')
    assert answer.stdout.strip() == '1', answer.stderr


@pytest.mark.parametrize('names', [('mmengine', 'torchvision'), ('torch',)])
def test_import_survives_broken_packages(tmp_path, names):
    answer = python(APPLY, path=[fake(tmp_path, name, 'raise RuntimeError("broken")') for name in names])
    assert answer.returncode == 0, answer.stderr


def test_import_stays_cheap_brings_yapf_before_mmengine_asks_and_the_installed_torchvision_after_it():
    heavy = ('torchvision', 'mmcv', 'mmpretrain', 'mmdet', 'mmseg')
    found = f'[name for name in {heavy} if name in sys.modules], "yapf" in sys.modules'
    answer = python(f'{APPLY}; import sys; print({found}); import torchvision.transforms; print(compat.FAILED)')
    assert answer.stdout == '[] True\n{}\n', answer.stderr


@pytest.mark.parametrize('errors', [[EOFError('Ran out of input'), UnpicklingError('truncated')], [EOFError('x')] * 20])
def test_a_cache_of_yapf_that_is_being_written_is_waited_for_not_for_ever(monkeypatch, errors):
    """It writes its grammar without a lock: of first imports at the same time all but one may end in EOFError."""
    left = [*errors]

    def import_module(name):
        assert name == 'yapf'
        if left:
            raise left.pop(0)

    monkeypatch.setattr(compat, 'PAUSE', 0)
    monkeypatch.setattr(compat.importlib, 'import_module', import_module)
    if len(errors) == compat.TRIES:
        with pytest.raises(EOFError):
            compat.import_formatter()
    else:
        compat.import_formatter()
    assert not left


def test_what_fails_is_kept_and_leaves_the_rest_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, 'yapf', None)  # what makes an import fail
    monkeypatch.setattr(compat, 'FAILED', {})
    monkeypatch.setattr(compat, 'read_safely', lambda: None)
    monkeypatch.setattr(compat, 'draw_names', lambda: None)
    compat.apply.__wrapped__()
    assert list(compat.FAILED) == ['import_formatter']
    assert 'pip install yapf' in str(compat.FAILED['import_formatter'])


@pytest.mark.parametrize(
    ('given', 'expected'),
    [
        ({}, 'PASSIVE 10000'),
        ({'GOMP_SPINCOUNT': '7'}, 'PASSIVE 7'),
        ({'OMP_WAIT_POLICY': 'ACTIVE'}, 'ACTIVE None'),
    ],
)
def test_waiting_threads_spin_for_a_while_unless_set_otherwise(monkeypatch, given, expected):
    for name in ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT'):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    compat.let_waiting_threads_sleep()
    assert f'{os.environ.get("OMP_WAIT_POLICY")} {os.environ.get("GOMP_SPINCOUNT")}' == expected
