"""Fixes for known issues of the installed libraries, which `apply` makes where needed.

Nothing here changes how a working stack behaves, and no failed fix stops an import: `python -m mixmae_mm.doctor`
reports those in `FAILED`.
"""

import functools
import importlib.util
import os
import sys
import time
from pathlib import Path
from pickle import UnpicklingError
from types import ModuleType

from mixmae_mm.utils.names import printable

FAILED: dict[str, Exception] = {}
"""The errors of the fixes that failed, by the name of the function."""
TRIES, PAUSE = 20, 0.1  # s


@functools.cache
def apply() -> None:
    """Apply all fixes, once and independently of each other: if one fails, the others are still applied."""
    for fix in (
        let_waiting_threads_sleep,
        import_formatter,
        define_torchvision_operators,
        read_safely,
        write_atomically,
        let_configs_inherit_ours,
        end_short_warm_ups,
        draw_any_name,
    ):
        try:
            fix()
        except Exception as error:
            FAILED[fix.__name__] = error


def let_waiting_threads_sleep() -> None:
    """Make torch's waiting threads spin for only a fraction of a millisecond, so that loader workers get the cores.

    The settings are read when torch is first imported, so tools call `apply` before. Measured in docs/performance.md.
    """
    if 'OMP_WAIT_POLICY' not in os.environ:
        os.environ['OMP_WAIT_POLICY'] = 'PASSIVE'
        os.environ.setdefault('GOMP_SPINCOUNT', '10000')


def import_formatter() -> ModuleType:
    """Import yapf, with which mmengine prints configs; try again if another process is just writing its grammar.

    Of two ranks that start together in a new environment, one may read a half-written file.
    """
    for left in reversed(range(TRIES)):
        try:
            return importlib.import_module('yapf')
        except (EOFError, UnpicklingError):
            if not left:
                raise
            time.sleep(PAUSE)
        except ImportError as error:
            raise ImportError(f'{error}: mmengine writes configs with it, pip install yapf') from error


def define_torchvision_operators() -> None:
    """Let torchvision be imported even if its compiled part does not load with this torch (pytorch/pytorch#122494).

    On import it refers to two operators of that part; once their schemas are defined, its transforms work.
    """
    if 'torchvision' in sys.modules or not torchvision_is_crippled():
        return
    import torch

    for name in ('nms', 'qnms'):
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f'torchvision::{name}', '(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')


def torchvision_is_crippled() -> bool:
    """Return whether torchvision is installed, but its compiled part is missing or does not load with this torch."""
    spec = importlib.util.find_spec('torchvision')
    if spec is None or spec.origin is None:
        return False
    import torch

    try:
        torch.ops.load_library(str(next(Path(spec.origin).parent.glob('_C*.*'))))
    except (OSError, StopIteration):
        return True
    return False


def read_safely() -> None:
    """Make mmengine read checkpoints and annotations by our list of types, without running code in them."""
    from mixmae_mm.utils.safe_io import allow_list, safe_loading

    safe_loading.guard()
    allow_list.allow_checkpoint_types()


def write_atomically() -> None:
    """Make mmengine write local checkpoints atomically, with a checksum, directly to their files."""
    from mixmae_mm.utils.safe_io import safe_saving

    safe_saving.guard()


def let_configs_inherit_ours() -> None:
    """Let other repositories write `_base_ = 'mixmae_mm::...'`, which mmengine allows for a fixed list of packages.

    Upstream's mmengine only looks for packages in site-packages, where `pip install -e .` does not put them.
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


def end_short_warm_ups() -> None:
    """Let mmengine's warm-ups of a single step reach their last value, as longer ones do in their last step.

    Otherwise the learning rate stays at its first value, nearly 0, for the whole training.
    """
    from mmengine.optim.scheduler import ConstantParamScheduler, LinearParamScheduler
    from mmengine.optim.scheduler.param_scheduler import _ParamScheduler

    construct = _ParamScheduler.__init__

    @functools.wraps(construct)
    def construct_ended(self: _ParamScheduler, *args: object, **settings: object) -> None:
        """Construct a scheduler, after its own settings have been set."""
        if getattr(self, 'total_iters', None) == 0:
            if isinstance(self, LinearParamScheduler):
                self.start_factor = self.end_factor
            elif isinstance(self, ConstantParamScheduler):
                self.factor = 1.0
        construct(self, *args, **settings)

    _ParamScheduler.__init__ = construct_ended


def draw_any_name() -> None:
    """Let mmengine draw names with any bytes, which matplotlib refuses, and with dollar signs, its mark of formulas."""
    from mmengine.visualization import Visualizer

    prepare = Visualizer._initialize_fig

    @functools.wraps(prepare)
    def prepare_for_any_name(self: Visualizer, settings: dict) -> tuple:
        """Prepare a figure that accepts any text from mmengine and mmpretrain."""
        *others, axes = prepare(self, settings)
        write = axes.text

        def write_any(x: float, y: float, text: str, *args: object, **more: object) -> object:
            """Write text literally, with escapes for what cannot be printed."""
            return write(x, y, '\n'.join(map(printable, text.split('\n'))).replace('$', r'\$'), *args, **more)

        axes.text = write_any
        return (*others, axes)

    Visualizer._initialize_fig = prepare_for_any_name
