"""The doctor: what it finds in stacks made up for it, and the command that fixes each."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from forked import Program
from micro_training import finish

from mixmae_mm import doctor
from mixmae_mm.utils import compat

ROOT = Path(__file__).parents[1]
TORCH = """
class cuda:
    def is_available(): return False
class ops:
    def load_library(path): pass
"""
MODULES = ('torchvision.transforms', 'numpy', 'PIL.Image', 'mmengine.runner', 'mmcv.transforms', 'mmcv._ext',
           'mmpretrain.datasets', 'mmdet.models', 'mmseg.models', 'tensorboard')  # fmt: skip
BROUGHT = {'torch': '2.13.0', 'onedl_mmengine': '0.10.12', 'onedl_mmcv': '2.3.6', 'onedl_mmpretrain': '1.3.6'}


@pytest.fixture
def world(tmp_path):
    """An interpreter that sees nothing but its standard library, this package and a sound stack of fake packages."""
    return World(tmp_path)


class World:
    def __init__(self, folder):
        self.folder = folder
        self.write('torch', TORCH)
        for name in MODULES:
            self.write(name, '')
        for name, version in BROUGHT.items():
            self.bring(name, version)
        (folder / 'torchvision' / '_C.so').touch()

    def write(self, name, code):
        top, _, part = name.partition('.')
        (self.folder / top).mkdir(exist_ok=True)
        (self.folder / top / '__init__.py').touch()
        (self.folder / top / (f'{part}.py' if part else '__init__.py')).write_text(code)

    def bring(self, name, version):
        info = self.folder / f'{name}-{version}.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name.replace("_", "-")}\nVersion: {version}\n')

    def remove(self, *patterns):
        for pattern in patterns:
            for path in sorted(self.folder.rglob(pattern), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()

    def ask(self):
        """Return the exit status, the commands, and the report."""
        env = {'PYTHONPATH': f'{self.folder}{os.pathsep}{ROOT}', 'PATH': ''}
        command = [sys.executable, '-S', '-B', '-m', 'mixmae_mm.doctor']
        answer = subprocess.run(command, env=env, cwd='/', capture_output=True, text=True)
        assert not answer.stderr, answer.stderr
        found = re.findall(r'^(?:note|STOPS PRE-TRAINING): .*:\n    (.*)$', answer.stdout, re.MULTILINE)
        return answer.returncode, found, answer.stdout


def test_a_sound_stack(world):
    status, commands, report = world.ask()
    assert (status, commands) == (0, [])
    assert 'mmcv: 2.3.6 (onedl-mmcv)' in report


def test_nothing_installed(world):
    world.remove('*.py', '*.so', 'METADATA', '*-info', '*')
    wanted = ('torch', 'torchvision', 'numpy', 'pillow', 'onedl-mmengine', 'onedl-mmcv', 'onedl-mmpretrain')
    assert world.ask()[:2] == (1, [f'python -m pip install {name}' for name in (*wanted, 'tensorboard')])


@pytest.mark.parametrize(
    ('module', 'code', 'status', 'fix'),
    [
        ('mmpretrain.datasets', 'import einops', 1, 'install einops'),
        ('mmpretrain.datasets', 'import torchvision.io.video', 1, 'install torchvision'),
        (
            'mmpretrain.datasets',
            'import sys; sys.exit("no")',
            1,
            'install --force-reinstall --no-deps onedl-mmpretrain',
        ),
        ('mmdet.models', 'import pycocotools', 0, 'install pycocotools'),
    ],
)
def test_a_broken_package_stops_unless_it_is_for_dense_tasks(world, module, code, status, fix):
    world.write(module, code)
    assert world.ask()[:2] == (status, [f'python -m pip {fix}'])


@pytest.mark.parametrize(
    ('code', 'kind'), [(None, 'pure Python'), ('raise ImportError("undefined _ZN3c10")', 'compiled against another')]
)
def test_an_mmcv_without_ops_or_with_those_for_another_torch(world, code, kind):
    world.write('mmcv._ext', code or '')
    if code is None:
        world.remove('_ext.py')
    status, (command,), report = world.ask()
    assert status == 0
    assert 'MMCV_WITH_OPS=1' in command
    assert kind in report


def test_a_torchvision_of_another_torch(world):
    world.remove('_C.so')
    assert world.ask()[:2] == (0, ['python -m pip install --force-reinstall --no-deps torchvision'])


def test_two_distributions_of_one_package(world):
    world.bring('mmengine', '0.10.7')
    assert world.ask()[1] == [
        'python -m pip uninstall -y onedl-mmengine mmengine && '
        'python -m pip install --no-cache-dir --no-deps onedl-mmengine==0.10.12'
    ]


def test_what_compat_could_not_fix_is_reported_with_its_remedy(monkeypatch):
    old = ImportError('checkpoints cannot be read safely: pip install "torch>=2.6"')
    monkeypatch.setattr(compat, 'FAILED', dict(allow_checkpoint_types=old, import_formatter=EOFError('x')))
    fixes = [finding.fix for finding in doctor.find_unfixed()]
    assert fixes == ['python -m pip install "torch>=2.6"', 'remove the folder ~/.cache/YAPF']


def test_a_gpu_that_torch_does_not_see(monkeypatch):
    monkeypatch.setattr(doctor.shutil, 'which', lambda name: f'/usr/bin/{name}')
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    *_, last = doctor.find_foreign()
    assert last.fix.endswith('install --force-reinstall torch torchvision')


def test_this_environment_can_pre_train():
    out, _ = finish(Program(ROOT / 'mixmae_mm/doctor.py'))
    assert 'pre-training can run here' in out
