"""Fixes of the stack: each is applied if needed, and none prevents an import."""

import os
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from pickle import UnpicklingError
from unittest import mock

import pytest
import torch
from mmengine import utils
from mmengine.config import config
from mmengine.logging import HistoryBuffer
from mmengine.registry import PARAM_SCHEDULERS

from mixmae_mm.utils import compat

ROOT = Path(__file__).parents[2]
APPLY = 'from mixmae_mm.utils import compat; compat.apply()'


def python(code, *options, path=(), arguments=()):
    env = {**os.environ, 'PYTHONPATH': os.pathsep.join(map(str, [*path, ROOT])), 'OMP_NUM_THREADS': '1'}
    command = [sys.executable, *options, '-c', code, *map(str, arguments)]
    return subprocess.run(command, env=env, cwd='/', capture_output=True, text=True)


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
ALONE_FIRST = """
try:
    import torchvision
except RuntimeError as error:
    print(error)
"""


def test_torchvision_imports_after_us_where_it_does_not_alone(tmp_path):
    path = [fake(tmp_path, 'torchvision', DESCRIBES_NMS)]
    (tmp_path / 'torchvision' / '_C.so').write_text('compiled for another torch')
    answer = python(f'{ALONE_FIRST}{APPLY}\nimport torchvision', path=path)
    assert 'operator torchvision::nms does not exist' in answer.stdout
    assert answer.returncode == 0, answer.stderr


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


def test_mmengine_finds_this_package_where_it_lies(monkeypatch):
    """Upstream mmengine looks only in site-packages, where an editable installation is not."""
    monkeypatch.setattr(utils, 'get_installed_path', None)
    monkeypatch.setattr(config, 'get_installed_path', lambda package: f'/site-packages/{package}')
    compat.let_configs_inherit_ours()
    for module in (config, utils):
        assert module.get_installed_path('mixmae_mm') == str(ROOT / 'mixmae_mm')
        assert module.get_installed_path('mmdet') == '/site-packages/mmdet'


ALONE = """
import os, sys
modules, finders, environment = set(sys.modules), list(sys.meta_path), dict(os.environ)
import mixmae_mm
print(sorted(set(sys.modules) - modules), finders == sys.meta_path, environment == dict(os.environ))
"""


def test_import_alone_changes_nothing_and_needs_nothing_installed():
    answer = python(ALONE, '-S')
    assert answer.stdout.strip() == "['mixmae_mm', 'mixmae_mm.version'] True True", answer.stderr


PACKAGES = ('registry', 'apis', 'models', 'datasets', 'engine.hooks')
FIRST = """
import importlib, os, sys, torch
from mixmae_mm.utils import compat

def apply():
    print(package, [name for name in ('mmpretrain', 'torchvision') if name in sys.modules])
    sys.stdout.flush()
    os._exit(0)

compat.apply = apply
for package in sys.argv[1:]:
    if not os.fork():
        importlib.import_module(f'mixmae_mm.{package}')
        os._exit(1)
    os.wait()
"""


def test_packages_that_meet_the_libraries_fix_them_first():
    answer = python(FIRST, arguments=PACKAGES)
    assert answer.stdout.splitlines() == [f'{package} []' for package in PACKAGES], answer.stderr


@pytest.mark.parametrize('names', [('mmengine', 'torchvision'), ('torch',)])
def test_import_survives_broken_packages(tmp_path, names):
    answer = python(APPLY, path=[fake(tmp_path, name, 'raise RuntimeError("broken")') for name in names])
    assert answer.returncode == 0, answer.stderr


CHEAP = f"""
{APPLY}
import sys
print([name for name in ('torchvision', 'mmcv', 'mmpretrain', 'mmdet', 'mmseg') if name in sys.modules])
print('yapf' in sys.modules)
import torch, torchvision.transforms
torch.load(sys.argv[1], weights_only=True)
print(compat.FAILED)
"""


def test_import_is_cheap_brings_yapf_and_has_torch_read_logs_of_mmengine(tmp_path):
    torch.save(dict(loss=HistoryBuffer([0.5], [1])), tmp_path / 'log.pth')
    answer = python(CHEAP, arguments=[tmp_path / 'log.pth'])
    assert answer.stdout.splitlines() == ['[]', 'True', '{}'], answer.stderr


@pytest.mark.parametrize('errors', [[EOFError('Ran out of input'), UnpicklingError('truncated')], [EOFError('x')] * 20])
def test_a_cache_of_yapf_that_is_being_written_is_waited_for_not_for_ever(monkeypatch, errors):
    """yapf writes its grammar without a lock, so simultaneous first imports may fail with EOFError."""
    tried = mock.Mock(side_effect=[*errors, 'yapf'])
    monkeypatch.setattr(compat, 'PAUSE', 0)
    monkeypatch.setattr(compat.importlib, 'import_module', tried)
    if len(errors) == compat.TRIES:
        with pytest.raises(EOFError):
            compat.import_formatter()
    else:
        assert compat.import_formatter() == 'yapf'
    assert tried.call_count == min(len(errors) + 1, compat.TRIES)


def test_what_fails_is_kept_and_leaves_the_rest_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, 'yapf', None)  # what makes an import fail
    monkeypatch.setattr(compat, 'FAILED', {})
    monkeypatch.setattr(compat, 'read_safely', lambda: None)
    compat.apply.__wrapped__()
    assert list(compat.FAILED) == ['import_formatter']
    assert 'pip install yapf' in str(compat.FAILED['import_formatter'])


@pytest.mark.parametrize(
    ('given', 'expected'),
    [({}, 'PASSIVE 10000'), ({'GOMP_SPINCOUNT': '7'}, 'PASSIVE 7'), ({'OMP_WAIT_POLICY': 'ACTIVE'}, 'ACTIVE None')],
)
def test_waiting_threads_spin_for_a_while_unless_set_otherwise(monkeypatch, given, expected):
    for name in ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT'):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    compat.let_waiting_threads_sleep()
    assert f'{os.environ.get("OMP_WAIT_POLICY")} {os.environ.get("GOMP_SPINCOUNT")}' == expected


# short warm-ups


@pytest.mark.parametrize('kind', [dict(type='LinearLR', start_factor=1e-3), dict(type='ConstantLR', factor=1e-3)])
@pytest.mark.parametrize('length', [1, 2, 3])
def test_a_warm_up_reaches_the_full_rate_in_its_last_step(kind, length):
    compat.apply()
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2.0)
    scheduler = PARAM_SCHEDULERS.build(dict(kind, end=length, by_epoch=False), default_args=dict(optimizer=optimizer))
    rates = []
    for _ in range(5):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        scheduler.step()
    assert rates[length - 1 :] == pytest.approx([2.0] * (6 - length))
    assert rates[: length - 1] == pytest.approx([[], [2e-3], [2e-3, rates[1]]][length - 1])
