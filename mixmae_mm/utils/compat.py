"""Known issues of the stack that can be fixed from within, which `apply` does where needed.

Nothing here changes what a working stack does, and nothing may stop an import: `python -m mixmae_mm.doctor` reports
what could not be fixed (`FAILED`).
"""

import functools
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from pickle import UnpicklingError
from types import ModuleType

from mixmae_mm.utils.names import draw_any_name
from mixmae_mm.utils.safe_io.allow_list import allow_checkpoint_types
from mixmae_mm.utils.safe_io.safe_loading import CHANGES

FAILED: dict[str, Exception] = {}
"""What could not be fixed, by the name of the function, and why."""
TRIES, PAUSE = 20, 0.1  # s


@functools.cache
def apply() -> None:
    """Fix what can be fixed, once; each by itself, so that one that cannot be leaves the others alone."""
    fixes = (let_waiting_threads_sleep, change_modules, import_formatter, define_torchvision_operators,
             allow_checkpoint_types, let_configs_inherit_ours)
    for fix in fixes:
        try:
            fix()
        except Exception as error:
            FAILED[fix.__name__] = error


def let_waiting_threads_sleep() -> None:
    """Have torch's threads spin for a part of a millisecond only while they wait, so that loader workers get the cores.

    It is read when torch is first imported, so tools call `apply` before. Measured in docs/performance.md.
    """
    if 'OMP_WAIT_POLICY' not in os.environ:
        os.environ['OMP_WAIT_POLICY'] = 'PASSIVE'
        os.environ.setdefault('GOMP_SPINCOUNT', '10000')


class ChangeOnImport(MetaPathFinder):
    """Change modules, by their names, right after they are imported, so that nothing is imported for it."""

    def __init__(self, changes: dict[str, Callable[[ModuleType], None]]) -> None:
        self.changes = changes

    def install(self) -> None:
        """Change modules that are imported already, and the rest on import."""
        for name in self.changes.keys() & sys.modules.keys():
            self.changes[name](sys.modules[name])
        sys.meta_path.insert(0, self)

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Find a module as the finders after this one do, and have it changed once its code was executed."""
        if name not in self.changes:
            return None
        later = sys.meta_path[sys.meta_path.index(self) + 1 :]
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in later)), None)
        if spec is not None:
            execute = spec.loader.exec_module

            def execute_and_change(module: ModuleType) -> None:
                execute(module)
                self.changes[name](module)

            spec.loader.exec_module = execute_and_change
        return spec


def change_modules() -> None:
    """Have mmengine and mmdet read files without running code, and draw any name of a class."""
    ChangeOnImport(CHANGES | {'mmengine.visualization.visualizer': draw_any_name}).install()


def import_formatter() -> None:
    """Import yapf, with which mmengine prints configs, again where another process is just writing its cache.

    On its first import in an environment yapf puts its pickled grammar in place before all of it is written; of two
    ranks that start together, one reads half a file. Upstream mmengine imports it, so this comes before mmengine.
    """
    for left in reversed(range(TRIES)):
        try:
            importlib.import_module('yapf')
        except (EOFError, UnpicklingError):
            if not left:
                raise
            time.sleep(PAUSE)
        except ImportError as error:
            raise ImportError(f'{error}: mmengine writes configs by it, pip install yapf') from error
        else:
            return


def define_torchvision_operators() -> None:
    """Let torchvision be imported where its compiled part cannot load beside this torch.

    It describes two operators that its compiled part was to bring; with their schemas defined beforehand its transforms
    work, and its operators still fail by torchvision's own message (pytorch/pytorch#122494, #157648).
    """
    if 'torchvision' in sys.modules or not torchvision_is_crippled():
        return
    import torch
    for name in ('nms', 'qnms'):
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f'torchvision::{name}', '(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')


def torchvision_is_crippled() -> bool:
    """Return whether torchvision is there with a compiled part that is missing or does not load beside this torch."""
    spec = importlib.util.find_spec('torchvision')
    if spec is None or spec.origin is None:
        return False
    import torch
    try:
        torch.ops.load_library(str(next(Path(spec.origin).parent.glob('_C*.*'))))
    except (OSError, StopIteration):
        return True
    return False


def let_configs_inherit_ours() -> None:
    """Let other repositories write `_base_ = 'mixmae_mm::...'`, which mmengine allows for a fixed list of packages.

    Upstream's looks for packages in site-packages alone, where one installed by `pip install -e .` is not.
    """
    from mmengine import utils
    from mmengine.config import config
    from mmengine.config.utils import MODULE2PACKAGE
    found = config.get_installed_path
    MODULE2PACKAGE.setdefault('mixmae_mm', 'mixmae_mm')

    def get_installed_path(package: str) -> str:
        """Return a package's folder: ours from here, others' from mmengine."""
        return str(Path(__file__).parents[1]) if package == 'mixmae_mm' else found(package)

    config.get_installed_path = utils.get_installed_path = get_installed_path
