"""Known issues of the stack that can be fixed from within, which `apply` does where needed.

Nothing here changes what a working stack does, and nothing may stop an import: `python -m mixmae_mm.doctor` reports
missing or broken packages, and what could not be fixed (`FAILED`).
"""

import functools
import importlib.util
import os
import sys
import time
from pathlib import Path
from pickle import UnpicklingError

from mixmae_mm.utils.import_changes import ChangeOnImport
from mixmae_mm.utils.names import draw_any_name
from mixmae_mm.utils.safe_io.allow_list import allow_checkpoint_types
from mixmae_mm.utils.safe_io.safe_loading import guard_loading

FAILED: dict[str, Exception] = {}
"""What could not be fixed, by the name of the function, and why."""
TRIES, PAUSE = 20, 0.1  # s
NMS_SCHEMA = '(Tensor dets, Tensor scores, float iou_threshold) -> Tensor'


@functools.cache
def apply() -> None:
    """Fix what can be fixed, once; each by itself, so that one that cannot be leaves the others alone."""
    fixes = (let_waiting_threads_sleep, guard_loading, import_formatter, define_torchvision_operators,
             allow_checkpoint_types, let_configs_inherit_ours, find_ourselves_in_place, draw_names)
    for fix in fixes:
        try:
            fix()
        except Exception as error:
            FAILED[fix.__name__] = error


def let_waiting_threads_sleep() -> None:
    """Keep torch's threads from burning the cores that loader workers need, while they wait for each other.

    GNU OpenMP's own setting spins for long: on two busy cores that took most of a step's processor time. Sleeping at
    once costs as much where waking is slow, as in virtual machines: a third to a fifth of a step on two idle cores. So
    threads spin for a part of a millisecond and then sleep, which was best or near it idle and busy
    (docs/performance.md). It is read when torch is first imported, so tools import this package before torch.
    """
    if 'OMP_WAIT_POLICY' not in os.environ:
        os.environ['OMP_WAIT_POLICY'] = 'PASSIVE'
        os.environ.setdefault('GOMP_SPINCOUNT', '10000')


def import_formatter() -> None:
    """Import yapf, with which mmengine prints configs, again where another process is just writing its cache.

    On its first import in an environment yapf puts its pickled grammar in place before all of it is written; of two
    ranks that start together, one then reads half a file and ends with `EOFError: Ran out of input`. Upstream mmengine
    imports it by itself, so this comes before anything of mmengine. Can go when yapf closes the file first.

    Raises:
        EOFError: the cache is still truncated after some seconds, so no process is writing it.
        UnpicklingError: the same.
        ImportError: it is not installed.
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


def define_torchvision_operators() -> bool:
    """Let torchvision be imported where its compiled part cannot load beside this torch; return whether it was needed.

    A CPU build of torch beside a CUDA build of torchvision ends in `operator torchvision::nms does not exist` as soon
    as torchvision is imported, because it describes two operators that its compiled part was to bring. With their
    schemas defined beforehand its transforms work; calling the operators still fails, with torchvision's own message.

    Thread: pytorch/pytorch#122494, pytorch/pytorch#157648. Can go when torchvision describes its operators only after
    loading them.
    """
    if 'torchvision' in sys.modules or not torchvision_is_crippled():
        return False
    import torch
    for name in ('nms', 'qnms'):
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f'torchvision::{name}', NMS_SCHEMA)
    return True


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
    """Let other repositories write `_base_ = 'mixmae_mm::...'`, which mmengine allows for a fixed list of packages."""
    from mmengine.config import utils
    utils.MODULE2PACKAGE.setdefault('mixmae_mm', 'mixmae_mm')


def find_ourselves_in_place() -> None:
    """Set where this package lies for mmengine, which upstream's looks for in site-packages though it is elsewhere.

    It is after `pip install -e .`; `_base_ = 'mixmae_mm::...'` then ended in a `FileNotFoundError`. Can go when no
    upstream mmengine has to be supported.
    """
    from mmengine import utils
    from mmengine.config import config
    found = config.get_installed_path

    def get_installed_path(package: str) -> str:
        """Return a package's folder: ours from here, others' from mmengine."""
        return str(Path(__file__).parents[1]) if package == 'mixmae_mm' else found(package)

    config.get_installed_path = utils.get_installed_path = get_installed_path


def draw_names() -> None:
    """Let classes have any name where downstream libraries draw what they predict."""
    ChangeOnImport({'mmengine.visualization.visualizer': draw_any_name}).install()
