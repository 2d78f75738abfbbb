"""The doctor: what it finds, and the command that fixes each."""

import subprocess
import sys
from pathlib import Path

import pytest
from forked import Program
from micro_training import finish

from mixmae_mm import doctor
from mixmae_mm.utils import compat

ROOT = Path(__file__).parents[1]
INSTALL = 'python -m pip install'


def test_nothing_installed(tmp_path):
    """An interpreter that sees nothing but its standard library and this package."""
    command = [sys.executable, '-S', '-B', '-m', 'mixmae_mm.doctor']
    env = dict(PYTHONPATH=str(ROOT), PATH='')
    answer = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True)
    assert (answer.returncode, answer.stderr) == (1, '')
    wanted = ('torch', 'torchvision', 'numpy', 'pillow', 'onedl-mmengine', 'onedl-mmcv', 'onedl-mmpretrain')
    fixes = [line.strip() for line in answer.stdout.splitlines() if line.startswith('    ')]
    assert fixes == [f'{INSTALL} {name}' for name in (*wanted, 'tensorboard')]


def test_a_module_that_ends_the_process_is_broken(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'ends_at_once.py').write_text('import sys; print("bye"); sys.exit("no")')
    assert doctor.failure('ends_at_once') == 'SystemExit: no'
    assert doctor.failure('os.path') == ''


@pytest.mark.parametrize(
    ('module', 'reason', 'fix', 'stops'),
    [
        ('mmpretrain.datasets', "ModuleNotFoundError: No module named 'einops'", 'einops', True),
        ('mmpretrain.datasets', "ModuleNotFoundError: No module named 'PIL.Image'", 'pillow', True),
        ('mmpretrain.datasets', 'SystemExit: no', '--force-reinstall --no-deps onedl-mmpretrain', True),
        ('mmdet.models', "ModuleNotFoundError: No module named 'pycocotools'", 'pycocotools', False),
    ],
)
def test_a_broken_package_stops_unless_it_is_for_dense_tasks(monkeypatch, module, reason, fix, stops):
    monkeypatch.setattr(doctor, 'failure', lambda name: reason if name == module else '')
    monkeypatch.setattr(doctor, 'installed', lambda name: {})
    monkeypatch.setattr(doctor.util, 'find_spec', lambda name: 'is there')
    monkeypatch.setattr(compat, 'FAILED', {})
    (finding,) = doctor.find_broken()
    assert finding == (f'{module.partition(".")[0]} is broken ({reason})', f'{INSTALL} {fix}', stops)


def test_what_does_not_go_with_this_torch_and_what_is_there_twice(monkeypatch):
    twins = {'mmcv-lite': '2.1.0', 'onedl-mmcv': '2.3.6'}
    monkeypatch.setattr(doctor, 'failure', lambda name: 'ImportError: _ZN3c10' if name == 'mmcv._ext' else '')
    monkeypatch.setattr(doctor, 'installed', lambda name: twins if name == 'mmcv' else {})
    monkeypatch.setattr(compat, 'torchvision_is_crippled', lambda: True)
    monkeypatch.setattr(doctor.shutil, 'which', lambda name: f'/usr/bin/{name}')
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    ops, *others = (finding.fix for finding in doctor.find_mismatched())
    assert ops.startswith(f'MMCV_WITH_OPS=1 {INSTALL} ')
    assert '--no-binary mmcv mmcv ' in ops
    again = f'{INSTALL} --force-reinstall'
    uninstall = 'python -m pip uninstall -y mmcv-lite onedl-mmcv'
    assert others == [
        f'{again} --no-deps torchvision',
        f'{again} torch torchvision',
        f'{uninstall} && {INSTALL} --no-cache-dir --no-deps mmcv-lite==2.1.0',
    ]


def test_what_compat_could_not_fix_is_reported_with_its_remedy(monkeypatch):
    old = ImportError('checkpoints cannot be read safely: pip install "torch>=2.6"')
    monkeypatch.setattr(doctor, 'failure', lambda name: '')
    monkeypatch.setattr(compat, 'FAILED', dict(read_safely=old, import_formatter=EOFError('x')))
    fixes = [finding.fix for finding in doctor.find_broken()]
    assert fixes == [f'{INSTALL} "torch>=2.6"', 'remove the folder ~/.cache/YAPF']


def test_this_environment_can_pre_train():
    out, _ = finish(Program(ROOT / 'mixmae_mm/doctor.py'))
    assert f'Python: {sys.version.split()[0]}' in out
    assert 'pre-training can run here' in out
