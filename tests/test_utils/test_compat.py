import fcntl
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

from mixmae_mm.utils import compat, known_issues

ROOT = Path(__file__).parents[2]

APPLY = 'from mixmae_mm.utils import compat; compat.apply()'


def python(code, *options, path=()):
    env = {**os.environ, 'PYTHONPATH': os.pathsep.join(map(str, [*path, ROOT])), 'OMP_NUM_THREADS': '1'}
    return subprocess.run([sys.executable, *options, '-c', code], env=env, cwd='/', capture_output=True, text=True)


def fake(folder, name, code):
    (folder / name).mkdir(parents=True)
    (folder / name / '__init__.py').write_text(code)
    return folder


def torchvision_at(monkeypatch, origin):
    spec = ModuleSpec('torchvision', None, origin=str(origin)) if origin else None
    monkeypatch.setattr(compat.importlib.util, 'find_spec', lambda name: spec)


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


def test_compiled_part_that_does_not_load(tmp_path, monkeypatch):
    torchvision_at(monkeypatch, tmp_path / '__init__.py')
    (tmp_path / '_C.so').write_text('not a library')
    assert compat.torchvision_is_crippled()


def test_compiled_part_that_is_missing(tmp_path, monkeypatch):
    torchvision_at(monkeypatch, tmp_path / '__init__.py')
    assert compat.torchvision_is_crippled()


def test_sound_torchvision_is_left_alone(tmp_path, monkeypatch):
    torchvision_at(monkeypatch, tmp_path / '__init__.py')
    (tmp_path / '_C.so').touch()
    monkeypatch.setattr(torch.ops, 'load_library', lambda path: None)
    monkeypatch.delitem(sys.modules, 'torchvision', raising=False)
    monkeypatch.setattr(torch.library, 'define', lambda *_: pytest.fail('defined an operator'))
    assert not compat.define_torchvision_operators()


def test_no_torchvision_is_not_a_crippled_one(monkeypatch):
    torchvision_at(monkeypatch, None)
    assert not compat.torchvision_is_crippled()


# checkpoints of mmengine


@pytest.fixture
def checkpoint(tmp_path):
    log = HistoryBuffer([0.5, 0.25], [1, 3])
    state = dict(
        meta=dict(cfg='x', seed=1),
        message_hub=dict(
            log_scalars=dict(loss=log),
            runtime_info=dict(best=np.float32(0.75), worst=np.float64(2), epoch=np.int64(3), done=np.bool_(True)),
        ),
    )
    return state, tmp_path / 'epoch_1.pth'


def test_the_import_is_enough_to_load_a_checkpoint(checkpoint):
    state, file = checkpoint
    torch.save(state, file)
    assert python(f'{APPLY}; import torch; torch.load({str(file)!r}, weights_only=True)').returncode == 0


def test_checkpoint_loads_with_nothing_but_weights_trusted(checkpoint):
    state, file = checkpoint
    torch.save(state, file)
    loaded = torch.load(file, weights_only=True)['message_hub']
    assert loaded['log_scalars']['loss'].mean() == (0.5 + 0.25) / (1 + 3)  # as mmengine counts
    assert loaded['log_scalars']['loss'].statistics('max') == 0.5
    assert loaded['runtime_info'] == state['message_hub']['runtime_info']


def test_checkpoint_is_refused_without_us(checkpoint):
    state, file = checkpoint
    torch.save(state, file)
    serialization.clear_safe_globals()
    try:
        with pytest.raises(UnpicklingError, match='HistoryBuffer'):
            torch.load(file, weights_only=True)
    finally:
        compat.allow_checkpoint_types()
    torch.load(file, weights_only=True)


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
def test_what_no_log_holds_is_refused(tmp_path, call, message):
    torch.save(Reduces(*call), tmp_path / 'evil.pth')
    with pytest.raises(UnpicklingError, match=message):
        torch.load(tmp_path / 'evil.pth', weights_only=True)


def test_what_we_stand_in_for_is_taken_off_the_list(tmp_path):
    """Where OneDL's mmengine, and advice on the web, put it."""
    torch.save(Reduces(getattr, (np.ndarray, 'mean')), tmp_path / 'evil.pth')
    serialization.add_safe_globals([getattr, np.ndarray, np.dtype, Reduces])
    compat.allow_checkpoint_types()
    left = serialization.get_safe_globals()
    assert not {getattr, np.ndarray, np.dtype} & {entry for entry in left if not isinstance(entry, tuple)}
    assert Reduces in left
    with pytest.raises(UnpicklingError, match="asks for 'mean' of <function array_type"):
        torch.load(tmp_path / 'evil.pth', weights_only=True)


def test_an_old_torch_is_not_trusted(monkeypatch):
    """Its `weights_only=True` can be made to run code."""
    monkeypatch.delattr(serialization, 'get_unsafe_globals_in_checkpoint')
    with pytest.raises(ImportError, match=r'before torch 2.6: pip install "torch>=2.6"'):
        compat.allow_checkpoint_types()


# finding this package


def test_mmengine_finds_this_package_where_it_lies(monkeypatch):
    """Upstream's looks in site-packages alone, where a package installed in place is not."""
    monkeypatch.setattr(utils, 'get_installed_path', None)
    monkeypatch.setattr(config, 'get_installed_path', lambda package: f'/site-packages/{package}')
    compat.find_ourselves_in_place()
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


@pytest.mark.parametrize('room', ['registry', 'apis', 'models', 'datasets', 'engine.hooks'])
def test_rooms_that_meet_the_libraries_fix_them_first(room):
    asked = 'print(compat.apply.cache_info().currsize)'
    answer = python(f'import mixmae_mm.{room}; from mixmae_mm.utils import compat; {asked}')
    assert answer.stdout.strip() == '1', answer.stderr


@pytest.mark.parametrize('names', [('mmengine', 'torchvision'), ('torch',)])
def test_import_survives_broken_packages(tmp_path, names):
    answer = python(APPLY, path=[fake(tmp_path, name, 'raise RuntimeError("broken")') for name in names])
    assert answer.returncode == 0, answer.stderr


def test_import_stays_cheap_brings_yapf_before_mmengine_asks_and_the_installed_torchvision_after_it():
    heavy = ('torchvision', 'mmcv', 'mmpretrain', 'mmdet', 'mmseg', 'matplotlib', 'cv2')
    found = f'[name for name in {heavy} if name in sys.modules], "yapf" in sys.modules'
    answer = python(f'{APPLY}; import sys; print({found}); import torchvision.transforms; print("fine")')
    assert answer.stdout == '[] True\nfine\n', answer.stderr


def python_with_cache(cache, **env):
    """Import the package in an environment in which yapf's cache is that folder."""
    env = dict(os.environ, XDG_CACHE_HOME=str(cache), PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1', **env)
    program = f'{APPLY}; print(list(compat.FAILED))'
    return subprocess.Popen([sys.executable, '-c', program], env=env, stdout=subprocess.PIPE, text=True)


def test_a_cache_of_yapf_that_is_being_written_is_waited_for(monkeypatch):
    """It writes its grammar without a lock: of first imports at the same time all but one may end in EOFError."""
    answers = [EOFError('Ran out of input'), UnpicklingError('pickle data was truncated'), None]

    def import_module(name):
        assert name == 'yapf'
        if answers[0] is not None:
            raise answers.pop(0)

    monkeypatch.setattr(compat, 'PAUSE', 0)
    monkeypatch.setattr(compat.importlib, 'import_module', import_module)
    compat.import_formatter()
    assert answers == [None]


def test_a_cache_of_yapf_that_stays_cut_off_is_reported(monkeypatch):
    calls = []

    def import_module(name):
        calls.append(name)
        raise EOFError('Ran out of input')

    monkeypatch.setattr(compat, 'PAUSE', 0)
    monkeypatch.setattr(compat, 'FAILED', {})
    monkeypatch.setattr(compat.importlib, 'import_module', import_module)
    monkeypatch.setattr(compat, 'guard_loading', lambda: None)
    compat.apply.__wrapped__()
    assert len(calls) == compat.TRIES
    assert 'Ran out of input' in str(compat.FAILED['import_formatter'])
    (finding,) = known_issues.find_unfixed()
    assert 'the cache of yapf is cut off (Ran out of input)' in finding.what


def test_whatever_else_fails_is_reported_with_its_remedy(monkeypatch):
    error = ImportError('checkpoints cannot be read safely: pip install "torch>=2.6"')
    monkeypatch.setattr(compat, 'FAILED', dict(allow_checkpoint_types=error))
    (finding,) = known_issues.find_unfixed()
    assert finding.what.startswith('mixmae_mm could not allow checkpoint types (ImportError: checkpoints')
    assert finding.fix == 'python -m pip install "torch>=2.6"'


def test_a_formatter_that_is_missing_is_reported_with_its_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, 'yapf', None)  # what makes an import fail
    monkeypatch.setattr(compat, 'FAILED', {})
    monkeypatch.setattr(compat, 'guard_loading', lambda: None)
    compat.apply.__wrapped__()
    (finding,) = known_issues.find_unfixed()
    assert 'yapf' in finding.what
    assert finding.fix == 'python -m pip install yapf'


def test_import_waits_for_no_lock_and_needs_no_temporary_folder(tmp_path):
    """A file that others can make and hold, in a folder that all share, could stop it for ever."""
    with (tmp_path / f'mixmae_mm-yapf-{os.getuid()}.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        first = python_with_cache(tmp_path / 'cache', TMPDIR=str(tmp_path))
        assert first.communicate(timeout=100)[0] == '[]\n'
    assert {path.name for path in tmp_path.iterdir()} == {'cache', Path(lock.name).name}


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
    asked = "print(os.environ.get('OMP_WAIT_POLICY'), os.environ.get('GOMP_SPINCOUNT'))"
    assert python(f'{APPLY}; import os; {asked}', '-S').stdout.strip() == expected
