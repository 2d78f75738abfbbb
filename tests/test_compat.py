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

from mixmae_mm import compat

ROOT = Path(__file__).parents[1]
SINCE_26 = pytest.mark.skipif(not hasattr(serialization, 'get_unsafe_globals_in_checkpoint'), reason='torch < 2.6')


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
    assert python('import mixmae_mm, torchvision', path=path).returncode == 0


def test_the_installed_torchvision_imports_after_us():
    answer = python('import mixmae_mm, torchvision.transforms; print("fine")')
    assert answer.stdout == 'fine\n', answer.stderr


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
    compat.allow_checkpoint_types()  # mmengine's reader, in tests before, takes back what it allows itself
    return state, tmp_path / 'epoch_1.pth'


@SINCE_26
def test_the_import_is_enough_to_load_a_checkpoint(checkpoint):
    state, file = checkpoint
    torch.save(state, file)
    read = f'import torch; torch.load({str(file)!r}, weights_only=True)'
    assert 'UnpicklingError' in python(read).stderr
    assert python(f'import mixmae_mm; {read}').returncode == 0


@SINCE_26
def test_checkpoint_loads_with_nothing_but_weights_trusted(checkpoint):
    state, file = checkpoint
    torch.save(state, file)
    loaded = torch.load(file, weights_only=True)['message_hub']
    assert loaded['log_scalars']['loss'].mean() == (0.5 + 0.25) / (1 + 3)  # as mmengine counts
    assert loaded['log_scalars']['loss'].statistics('max') == 0.5
    assert loaded['runtime_info'] == state['message_hub']['runtime_info']


@SINCE_26
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


@SINCE_26
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


@SINCE_26
@pytest.mark.parametrize(
    ('call', 'message'),
    [
        ((os.system, ('true',)), 'posix'),
        ((eval, ('1',)), 'eval'),
        ((getattr, (HistoryBuffer, '__init__')), "asks for '__init__' of <class 'mmengine"),
        ((getattr, (np.ndarray, 'mean')), "asks for 'mean' of <class 'numpy.ndarray'>"),
    ],
)
def test_what_no_log_holds_is_refused(tmp_path, call, message):
    torch.save(Reduces(*call), tmp_path / 'evil.pth')
    with pytest.raises(UnpicklingError, match=message):
        torch.load(tmp_path / 'evil.pth', weights_only=True)


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


def test_import_needs_nothing_installed():
    answer = python('import mixmae_mm; print(mixmae_mm.__version__)', '-S')
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize('name', ['mmengine', 'torchvision', 'torch'])
def test_import_survives_a_broken_package(tmp_path, name):
    answer = python('import mixmae_mm', path=[fake(tmp_path, name, 'raise RuntimeError("broken")')])
    assert answer.returncode == 0, answer.stderr


def test_import_stays_cheap():
    heavy = ('torchvision', 'mmcv', 'mmpretrain', 'mmdet', 'mmseg', 'matplotlib', 'cv2')
    answer = python(f'import mixmae_mm, sys; print([name for name in {heavy} if name in sys.modules])')
    assert answer.stdout == '[]\n', answer.stderr


def test_yapf_is_imported_by_one_process_at_a_time(tmp_path, monkeypatch):
    """It writes its grammar without a lock: of first imports at the same time all but one may end in EOFError."""
    monkeypatch.setattr(compat.tempfile, 'tempdir', str(tmp_path))
    imported = []

    def import_module(name):
        (lock,) = tmp_path.glob('mixmae_mm-yapf-*.lock')
        with lock.open('w') as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        imported.append(name)

    monkeypatch.setattr(compat.importlib, 'import_module', import_module)
    compat.import_formatter_alone()
    assert imported == ['yapf']


def test_yapf_is_there_before_mmengine_asks_for_it():
    done = python('import mixmae_mm, sys; print("yapf" in sys.modules)')
    assert done.stdout.strip() == 'True'


@pytest.mark.parametrize(
    ('given', 'expected'),
    [
        ({}, 'PASSIVE 10000'),
        ({'GOMP_SPINCOUNT': '7'}, 'PASSIVE 7'),
        ({'OMP_WAIT_POLICY': 'ACTIVE'}, 'ACTIVE None'),
    ],
)
def test_waiting_threads_spin_for_a_while_unless_told_otherwise(monkeypatch, given, expected):
    for name in ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT'):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    asked = "print(os.environ.get('OMP_WAIT_POLICY'), os.environ.get('GOMP_SPINCOUNT'))"
    assert python(f'import os, mixmae_mm; {asked}').stdout.strip() == expected
