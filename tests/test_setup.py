import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHOWN = ('model-index.yml', 'configs/mixmae/metafile.yml', 'configs/mixmae/small.py', 'tools/train.py', 'tools/a/b.sh')
EDITABLE = ('--ignore-installed', '--root', 'out', '-e')  # so that the environment's own stays as it is
DEVELOPERS = ('tools/benchmarks/b.py', 'tools/docs/d.py')
IN_MIM = {f'mixmae_mm/.mim/{name}' for name in SHOWN}


@pytest.fixture
def clone(tmp_path):
    for name in ('setup.py', 'pyproject.toml', 'MANIFEST.in'):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / 'requirements', tmp_path / 'requirements')
    for name in ('mixmae_mm/__init__.py', 'mixmae_mm/py.typed', *SHOWN, *DEVELOPERS):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('# a file\n')
    shutil.copy(ROOT / 'mixmae_mm' / 'version.py', tmp_path / 'mixmae_mm')
    return tmp_path


def set_up(clone, *command):
    subprocess.run([sys.executable, 'setup.py', '-q', *command], cwd=clone, check=True, capture_output=True)


def requirements(clone):
    lines = (clone / 'mixmae_mm.egg-info' / 'PKG-INFO').read_text().splitlines()
    return [line.partition(': ')[2] for line in lines if line.startswith('Requires-Dist')]


def test_installing_beside_a_stack_asks_for_no_part_of_it_and_no_range_is_closed(clone):
    set_up(clone, 'egg_info')
    asked = requirements(clone)
    hard = [line for line in asked if 'extra ==' not in line]
    assert hard == ['numpy', 'pillow>=10.1', 'rich>=13.0', 'safetensors', 'tensorboard']
    assert [line for line in asked if re.search(r'==\s*\d|<|~=', line)] == []
    for name in ('mminstall', 'dense', 'tests', 'docs'):
        pins = re.findall(r'^([\w.-]+)==', (ROOT / 'requirements' / f'{name}.txt').read_text(), re.MULTILINE)
        extra = [re.match(r'[\w.-]+', line).group() for line in asked if f'extra == "{name}"' in line]
        assert sorted(extra) == sorted(pins)


def test_wheel_brings_configs_tools_and_index_for_mim(clone):
    set_up(clone, 'bdist_wheel', '-d', 'out')
    wheel = zipfile.ZipFile(next((clone / 'out').glob('*.whl')))
    names = wheel.namelist()
    assert {name for name in names if '/.mim/' in name} == IN_MIM
    assert {'mixmae_mm/version.py', 'mixmae_mm/py.typed'} <= set(names)
    scripts = next(name for name in names if name.endswith('/entry_points.txt'))
    assert 'mixmae = mixmae_mm.__main__:main' in wheel.read(scripts).decode()


@pytest.mark.parametrize('way', [['wheel', '-w', 'out'], ['install', *EDITABLE]])
def test_pip_shows_the_same_whichever_way_it_installs(clone, way):
    options = ['--quiet', '--no-deps', '--no-build-isolation', '--no-index', '--disable-pip-version-check']
    subprocess.run([sys.executable, '-m', 'pip', *way[:1], *options, *way[1:], '.'], cwd=clone, check=True)
    built = next((clone / 'out').glob('*.whl'), None)
    found = set(zipfile.ZipFile(built).namelist()) if built else set()
    assert {name for name in IN_MIM if name in found or (clone / name).is_file()} == IN_MIM


def test_editable_install_shows_the_folders_themselves_to_mim(clone):
    set_up(clone, 'egg_info')  # what every build runs, an editable one too
    (clone / 'configs' / 'mixmae' / 'new.py').touch()
    (clone / 'model-index.yml').write_text('changed')
    mim = clone / 'mixmae_mm' / '.mim'
    assert (mim / 'configs' / 'mixmae' / 'new.py').exists()
    assert (mim / 'model-index.yml').read_text() == 'changed'
    assert [link.name for link in mim.iterdir() if link.readlink().is_absolute()] == []


def test_a_system_without_links_gets_copies(clone):
    program = (
        'import pathlib, runpy, sys\n'
        'def refuse(*_, **__): raise OSError\n'
        'pathlib.Path.symlink_to = refuse\n'
        "sys.argv = ['setup.py', '-q', 'egg_info']\n"
        "runpy.run_path('setup.py')"
    )
    subprocess.run([sys.executable, '-c', program], cwd=clone, check=True, capture_output=True)
    assert all((clone / name).is_file() for name in IN_MIM)
    assert not (clone / 'mixmae_mm' / '.mim' / 'configs').is_symlink()


def test_every_requirement_is_pinned_once():
    files = (ROOT / 'requirements').glob('*.txt')
    lines = [line for file in files for line in file.read_text().splitlines() if line and not line.startswith('#')]
    assert [line for line in lines if not re.fullmatch(r'[\w.-]+==[\w.]+(  # .+)?', line)] == []
    names = [line.partition('==')[0].lower() for line in lines]
    assert sorted(set(names)) == sorted(names)
