import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from forked import Program
from micro_training import finish

from mixmae_mm import doctor
from mixmae_mm.utils import known_issues

ROOT = Path(__file__).parents[1]
TORCH = """
__version__ = '2.13.0'
def get_num_threads(): return 3
class _No:
    def is_available(self=None): return False
class cuda(_No): is_available = _No.is_available
class backends: mps = _No()
class ops:
    def load_library(path): pass
class serialization: pass
def save(what, file): pass
def load(file, weights_only): return None
"""
# a sound stack, as far as the doctor looks at it: modules and the distributions that bring them
SOUND = {
    'pip': '',
    'pip.__main__': 'raise SystemExit(1)',  # an empty cache; the real one takes longer than all the rest
    'torch': TORCH,
    'torchvision': '',
    'torchvision.transforms': '',
    'numpy': '',
    'PIL': '',
    'PIL.Image': '',
    'mmengine': '',
    'mmengine.runner': '',
    'mmengine.logging': 'def HistoryBuffer(*_): pass',
    'mmcv': '',
    'mmcv.transforms': '',
    'mmcv._ext': '',
    'mmpretrain': '',
    'mmpretrain.datasets': '',
    'mmdet': '',
    'mmdet.models': '',
    'mmseg': '',
    'mmseg.models': '',
    'tensorboard': '',
    'pkg_resources': '',
    'ftfy': '',
    'regex': '',
}
BROUGHT = {
    'torch': '2.13.0',
    'onedl_mmengine': '0.10.12',
    'onedl_mmcv': '2.3.6',
    'onedl_mmpretrain': '1.3.6',
    'onedl_mmdetection': '3.5.1',
    'onedl_mmsegmentation': '1.4.2',
}
OPS = (
    'python -m pip install "setuptools<81" wheel ninja && {drop}MMCV_WITH_OPS=1 python -m pip install '
    '--no-build-isolation --no-cache-dir --no-deps --force-reinstall --no-binary {name} "{name}=={version}"'
)


@pytest.fixture
def world(tmp_path):
    """An interpreter that sees nothing but its standard library, this package and fake packages."""
    return World(tmp_path)


class World:
    def __init__(self, folder):
        self.folder = folder
        for name, code in SOUND.items():
            self.write(name, code)
        for name, version in BROUGHT.items():
            self.bring(name, version)
        (folder / 'torchvision' / '_C.so').touch()

    def write(self, name, code):
        top, _, part = name.partition('.')
        file = self.folder / top / (f'{part}.py' if part else '__init__.py')
        file.parent.mkdir(exist_ok=True)
        file.write_text(code)

    def bring(self, name, version):
        info = self.folder / f'{name}-{version}.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name.replace("_", "-")}\nVersion: {version}\n')

    def remove(self, *patterns):
        for pattern in patterns:
            for path in sorted(self.folder.rglob(pattern), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()

    def ask(self):
        env = {'PYTHONPATH': f'{self.folder}{os.pathsep}{ROOT}', 'PATH': ''}
        command = [sys.executable, '-S', '-B', '-m', 'mixmae_mm.doctor']
        answer = subprocess.run(command, env=env, cwd='/', capture_output=True, text=True)
        assert not answer.stderr, answer.stderr
        return answer.returncode, answer.stdout


def commands(report):
    return re.findall(r'^(?:note|STOPS PRE-TRAINING): .*:\n    (.*)$', report, re.MULTILINE)


@pytest.fixture(autouse=True)
def mim_folder():
    """Leave the note about `.mim` to its own test."""
    folder = Path(known_issues.__file__).parents[1] / '.mim'
    made = not folder.exists()
    folder.mkdir(exist_ok=True)
    yield
    if made:
        folder.rmdir()


def test_sound_stack(world):
    status, report = world.ask()
    assert (status, commands(report)) == (0, [])
    assert 'torch        2.13.0' in report.splitlines()  # nobody else brings it
    assert 'mmcv         2.3.6  (onedl-mmcv)' in report
    assert 'mmcv is      compiled ops' in report
    assert 'devices      CPU, 3 threads' in report


def test_nothing_installed(world):
    world.remove('*.py', '*.so', 'METADATA', '*-info', '*')
    status, report = world.ask()
    assert status == 1
    wanted = (
        'torch',
        'torchvision',
        'numpy',
        'pillow',
        'onedl-mmengine',
        'onedl-mmcv',
        'onedl-mmpretrain',
        'tensorboard',
        '"setuptools<81"',
    )
    assert commands(report) == [f'python -m pip install {name}' for name in wanted]


@pytest.mark.parametrize(
    ('module', 'code', 'fix'),
    [
        ('mmpretrain.datasets', 'import einops', 'install einops'),
        ('mmpretrain.datasets', 'import torchvision.io.video', 'install torchvision'),
        (
            'mmpretrain.datasets',
            'import sys; sys.exit("no")',
            'install --force-reinstall --no-deps --no-cache-dir onedl-mmpretrain',
        ),
        ('mmcv.transforms', "raise AttributeError(\"module 'numpy' has no attribute 'bool'\")", 'install "numpy<2"'),
        ('mmengine.runner', 'import pkg_resources.extern', 'install "setuptools<81"'),
        (
            'mmpretrain',
            'raise AssertionError("MMCV==2.9 is used but incompatible. Please install mmcv>=2.0, <2.2.0.")',
            'install --no-cache-dir "mmcv>=2.0, <2.2.0"',
        ),
    ],
)
def test_broken_package_stops(world, module, code, fix):
    world.write(module, code)
    status, report = world.ask()
    assert (status, commands(report)) == (1, [f'python -m pip {fix}'])


def test_broken_dense_package_does_not_stop(world):
    world.write('mmdet.models', 'import pycocotools')
    status, report = world.ask()
    assert (status, commands(report)) == (0, ['python -m pip install pycocotools'])


def test_pure_mmcv(world):
    world.remove('_ext.py')
    status, report = world.ask()
    assert (status, commands(report)) == (0, [OPS.format(drop='', name='onedl-mmcv', version='2.3.6')])
    assert 'mmcv is      pure Python, no ops' in report


def test_upstream_lite_mmcv_gives_way_to_the_full_one(world):
    world.remove('_ext.py', 'onedl_mmcv*/METADATA', 'onedl_mmcv*')
    world.bring('mmcv_lite', '2.1.0')
    drop = 'python -m pip uninstall -y mmcv-lite && '
    assert commands(world.ask()[1]) == [OPS.format(drop=drop, name='mmcv', version='2.1.0')]


def test_mmcv_compiled_against_another_torch(world):
    world.write('mmcv._ext', 'raise ImportError("undefined symbol: _ZN3c10")')
    status, report = world.ask()
    assert (status, commands(report)) == (0, [OPS.format(drop='', name='onedl-mmcv', version='2.3.6')])
    assert 'mmcv is      compiled against another torch (ImportError: undefined symbol: _ZN3c10)' in report


def test_torchvision_of_another_torch(world):
    (world.folder / 'torchvision' / '_C.so').unlink()
    status, report = world.ask()
    assert (status, commands(report)) == (0, ['python -m pip install --force-reinstall --no-deps torchvision'])


def test_two_distributions_of_one_package(world):
    world.bring('mmengine', '0.10.7')
    assert commands(world.ask()[1]) == [
        'python -m pip uninstall -y onedl-mmengine mmengine && '
        'python -m pip install --no-cache-dir --no-deps onedl-mmengine==0.10.12'
    ]


def test_resume_refused(world):
    world.write(
        'torch',
        TORCH + 'serialization.get_unsafe_globals_in_checkpoint = 1\n'
        'def load(file, weights_only): raise RuntimeError("refused")',
    )
    status, report = world.ask()
    assert 'resuming would fail: torch.load refuses the log of mmengine (RuntimeError)' in report
    assert status == 0


@pytest.mark.parametrize(
    ('missing', 'fix'),
    [('ftfy', 'install ftfy regex'), ('regex', 'install ftfy regex'), ('pkg_resources', 'install "setuptools<81"')],
)
def test_small_things_missing(world, missing, fix):
    world.remove(f'{missing}/*', missing)
    status, report = world.ask()
    assert (status, commands(report)) == (0, [f'python -m pip {fix}'])


def test_half_installed_distribution_is_no_crash(world):
    world.remove('onedl_mmengine*/METADATA')
    status, report = world.ask()
    assert status == 0
    assert 'half-installed' in report


def test_openmim(world):
    world.bring('openmim', '0.3.9')
    assert commands(world.ask()[1]) == ['python -m pip uninstall -y openmim']


def test_wheel_in_the_cache_of_pip(monkeypatch):
    listing = 'Cache contents:\n\n - onedl_mmcv-2.3.6-cp311-cp311-linux_x86_64.whl (32.7 MB)\n'
    answer = subprocess.CompletedProcess([], 0, listing)
    monkeypatch.setattr(known_issues.subprocess, 'run', lambda command, **_: answer)
    assert [finding.fix for finding in known_issues.find_wheel_cache()] == ['python -m pip cache remove "*mmcv*"']


def test_gpu_that_torch_does_not_see(monkeypatch):
    monkeypatch.setattr(known_issues.shutil, 'which', lambda name: f'/usr/bin/{name}')
    monkeypatch.setattr(known_issues, 'devices', lambda: 'CPU, 2 threads')
    assert [finding.fix for finding in known_issues.find_gpu()] == [
        'python -m pip install --force-reinstall torch torchvision'
    ]


def test_missing_mim_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(known_issues, '__file__', str(tmp_path / 'utils/known_issues.py'))
    assert 'python -m pip install --no-deps -e .' in [finding.fix for finding in known_issues.find_missing()]


def test_a_check_that_fails_is_reported_and_ends_nothing():
    def find_trouble():
        raise OSError('no disk')
        yield

    def find_other():
        yield known_issues.Finding('other', 'fix')

    assert doctor.findings((find_trouble, find_other)) == [
        known_issues.Finding('find_trouble could not be checked (OSError: no disk)', '-'),
        known_issues.Finding('other', 'fix'),
    ]


def test_this_environment_can_pre_train():
    out, _ = finish(Program(ROOT / 'mixmae_mm/doctor.py'))
    assert 'pre-training can run here' in out
    assert 'http' not in out
