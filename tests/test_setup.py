import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def clone(tmp_path):
    for name in ('setup.py', 'pyproject.toml', 'MANIFEST.in'):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / 'requirements', tmp_path / 'requirements')
    for name in ('mixmae_mm/__init__.py', 'configs/mixmae/small.py', 'tools/train.py', 'tools/dist_train.sh'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('# a file\n')
    shutil.copy(ROOT / 'mixmae_mm' / 'version.py', tmp_path / 'mixmae_mm')
    return tmp_path


def set_up(clone, *command):
    subprocess.run([sys.executable, 'setup.py', '-q', *command], cwd=clone, check=True, capture_output=True)


def requirements(clone):
    lines = (clone / 'mixmae_mm.egg-info' / 'PKG-INFO').read_text().splitlines()
    return [line.partition(': ')[2] for line in lines if line.startswith('Requires-Dist')]


def test_installing_beside_a_stack_asks_for_no_part_of_it(clone):
    set_up(clone, 'egg_info')
    hard = [line for line in requirements(clone) if 'extra ==' not in line]
    assert hard == ['numpy', 'pillow', 'rich>=13.0', 'safetensors', 'tensorboard']


def test_no_range_is_closed_and_each_pin_is_in_an_extra(clone):
    set_up(clone, 'egg_info')
    asked = requirements(clone)
    assert [line for line in asked if re.search(r'==\s*\d|<|~=', line)] == []
    for name in ('mminstall', 'dense', 'tests', 'docs'):
        pins = re.findall(r'^([\w.-]+)==', (ROOT / 'requirements' / f'{name}.txt').read_text(), re.MULTILINE)
        extra = [re.match(r'[\w.-]+', line).group() for line in asked if f'extra == "{name}"' in line]
        assert sorted(extra) == sorted(pins)


def test_wheel_brings_configs_and_tools_for_mim(clone):
    set_up(clone, 'bdist_wheel', '-d', 'out')
    names = zipfile.ZipFile(next((clone / 'out').glob('*.whl'))).namelist()
    assert {
        'mixmae_mm/.mim/configs/mixmae/small.py',
        'mixmae_mm/.mim/tools/train.py',
        'mixmae_mm/.mim/tools/dist_train.sh',
        'mixmae_mm/version.py',
    } <= set(names)


def test_editable_install_shows_the_folders_themselves_to_mim(clone):
    set_up(clone, 'egg_info')  # what every build runs, an editable one too
    (clone / 'configs' / 'mixmae' / 'new.py').touch()
    assert (clone / 'mixmae_mm' / '.mim' / 'configs' / 'mixmae' / 'new.py').exists()
    assert not (clone / 'mixmae_mm' / '.mim' / 'configs').readlink().is_absolute()


def test_source_distribution_builds(clone):
    set_up(clone, 'sdist', '-d', 'out')
    shutil.unpack_archive(next((clone / 'out').glob('*.tar.gz')), clone / 'unpacked')
    source = next((clone / 'unpacked').iterdir())
    set_up(source, 'bdist_wheel', '-d', 'out')
    names = zipfile.ZipFile(next((source / 'out').glob('*.whl'))).namelist()
    assert 'mixmae_mm/.mim/configs/mixmae/small.py' in names


@pytest.mark.parametrize('file', sorted((ROOT / 'requirements').glob('*.txt')), ids=lambda file: file.name)
def test_every_requirement_is_pinned(file):
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith('#')]
    assert lines
    assert [line for line in lines if not re.fullmatch(r'[\w.-]+==[\w.]+', line)] == []


def test_no_requirement_is_named_twice():
    names = [
        line.partition('==')[0].lower()
        for file in (ROOT / 'requirements').glob('*.txt')
        for line in file.read_text().splitlines()
        if '==' in line
    ]
    assert sorted(set(names)) == sorted(names)
