"""Packaging: the names from requirements/ as open ranges, and configs and tools beside the package for openmim.

The pins in requirements/ are what was tested; an existing environment keeps its own torch and its own OpenMMLab,
upstream or OneDL, which is why only `pip install -e .[torch,mminstall]` asks for them.
"""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.egg_info import egg_info

ROOT = Path(__file__).resolve().parent
# the oldest versions that are expected to work; a name that is not here is taken in any version
OLDEST = {
    'torch': '2.6', 'torchvision': '0.21', 'datasets': '4.0', 'pyarrow': '15.0', 'rich': '13.0', 'setuptools': '65'
}  # fmt: skip


def open_ranges(name: str) -> list:
    """Turn the pins of `requirements/<name>.txt` into open ranges, each name once."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    names = [re.match(r'[\w.-]+', line).group() for line in lines if line and not line.startswith('#')]
    return [name + (f'>={OLDEST[name]}' if name in OLDEST else '') for name in dict.fromkeys(names)]


def linking(command: type) -> type:
    """Make a command that shows configs and tools to openmim before it runs.

    `egg_info` runs whichever way the package is installed; `pip install -e .` passes by the develop command that
    OpenMMLab packages hook (open-mmlab/mmpretrain#376). `build_py` runs before it where no front end is used.
    """

    class Linking(command):
        def run(self) -> None:
            link_mim()
            super().run()

    return Linking


def link_mim() -> None:
    """Make `mixmae_mm/.mim`, in which openmim and mmengine look for configs, tools and the index of both."""
    target = ROOT / 'mixmae_mm' / '.mim'
    target.mkdir(exist_ok=True)
    for name in ('configs', 'tools', 'model-index.yml'):
        if (ROOT / name).exists() and not (target / name).exists():
            link(ROOT / name, target / name)


def link(source: Path, target: Path) -> None:
    """Link a folder or a file, relatively, or copy it where the system has no links."""
    try:
        target.symlink_to(Path('..', '..', source.name), target_is_directory=source.is_dir())
    except OSError:
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)


version = re.search(r"__version__ = '(.+)'", (ROOT / 'mixmae_mm' / 'version.py').read_text()).group(1)
groups = ('mminstall', 'dense', 'extras', 'tests', 'docs')
setup(
    name='mixmae_mm',
    version=version,
    description='Mixing-based masked image modeling (MixMAE, MixedAE) as an OpenMMLab plugin',
    python_requires='>=3.11',
    packages=find_packages(include=['mixmae_mm', 'mixmae_mm.*']),
    package_data={'mixmae_mm': ['py.typed', '.mim/*.yml', '.mim/**/*.py', '.mim/**/*.sh', '.mim/**/*.yml']},
    exclude_package_data={'mixmae_mm': ['.mim/tools/benchmarks/*', '.mim/tools/docs/*']},  # the developers' own
    entry_points={'console_scripts': ['mixmae = mixmae_mm.__main__:main']},
    install_requires=['numpy', 'pillow>=10.1', 'rich>=13.0', 'safetensors', 'tensorboard'],
    extras_require={'torch': ['torch>=2.6', 'torchvision>=0.21'], **{name: open_ranges(name) for name in groups}},
    cmdclass={'egg_info': linking(egg_info), 'build_py': linking(build_py)},
    zip_safe=False,
)
