"""Packaging: the names from requirements/ as open ranges, and configs and tools beside the package for openmim.

The pins in requirements/ are what was tested; an existing environment keeps its own torch and its own OpenMMLab,
upstream or OneDL, which is why only `pip install -e .[torch,mminstall]` asks for them.
"""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.egg_info import egg_info

ROOT = Path(__file__).resolve().parent
# the oldest versions that are expected to work; a name that is not here is taken in any version
OLDEST = {'torch': '2.1', 'torchvision': '0.16', 'rich': '13.0', 'setuptools': '65'}


def open_ranges(name: str) -> list:
    """Turn the pins of `requirements/<name>.txt` into open ranges, each name once."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    names = [re.match(r'[\w.-]+', line).group() for line in lines if line and not line.startswith('#')]
    return [name + (f'>={OLDEST[name]}' if name in OLDEST else '') for name in dict.fromkeys(names)]


class LinkMim(egg_info):
    """Show configs and tools to openmim as `mixmae_mm/.mim`.

    Every way to build runs egg_info, `pip install -e .` included, which passes by the develop command that OpenMMLab
    packages hook (open-mmlab/mmpretrain#376).
    """

    def run(self) -> None:
        """Link the folders, or copy them where the system has no links, then go on as usual."""
        target = ROOT / 'mixmae_mm' / '.mim'
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        for name in ('configs', 'tools'):
            link(ROOT / name, target / name)
        super().run()


def link(source: Path, target: Path) -> None:
    """Link one folder, relatively, if it is there."""
    if not source.is_dir():
        return
    try:
        target.symlink_to(Path('..', '..', source.name), target_is_directory=True)
    except OSError:
        shutil.copytree(source, target)


version = re.search(r"__version__ = '(.+)'", (ROOT / 'mixmae_mm' / 'version.py').read_text()).group(1)
groups = ('mminstall', 'dense', 'tests', 'docs')
setup(
    name='mixmae_mm',
    version=version,
    description='Mixing-based masked image modelling (MixMAE, MixedAE) as an OpenMMLab plugin',
    python_requires='>=3.10',
    packages=find_packages(include=['mixmae_mm', 'mixmae_mm.*']),
    package_data={'mixmae_mm': ['.mim/**/*.py', '.mim/**/*.sh']},
    install_requires=['numpy', 'pillow', 'rich>=13.0', 'tensorboard'],
    extras_require={'torch': ['torch>=2.1', 'torchvision>=0.16'], **{name: open_ranges(name) for name in groups}},
    cmdclass={'egg_info': LinkMim},
    zip_safe=False,
)
