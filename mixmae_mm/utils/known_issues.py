"""The checks of the doctor, one for each known issue of the stack.

An issue is yielded as a `Finding` with the command that fixes it. No check needs more than the standard
library to run: what it looks at may be missing or broken.
"""

import contextlib
import importlib
import io
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata, util
from pathlib import Path
from pickle import UnpicklingError
from typing import NamedTuple

from mixmae_mm.utils import compat

PIP = 'python -m pip'
# import name: the distributions that bring it, the one to install first
STACK = {'torch': ('torch',), 'torchvision': ('torchvision',), 'mmengine': ('onedl-mmengine', 'mmengine'),
         'mmcv': ('onedl-mmcv', 'mmcv', 'mmcv-lite'), 'mmpretrain': ('onedl-mmpretrain', 'mmpretrain'),
         'mmdet': ('onedl-mmdetection', 'mmdet'), 'mmseg': ('onedl-mmsegmentation', 'mmsegmentation'),
         'numpy': ('numpy',), 'PIL': ('pillow',), 'cv2': ('opencv-python', 'opencv-python-headless'),
         'matplotlib': ('matplotlib',), 'tensorboard': ('tensorboard',), 'rich': ('rich',),
         'setuptools': ('setuptools',), 'mixmae_mm': ('mixmae_mm',)}
PRE_TRAINING = ('torch', 'torchvision.transforms', 'numpy', 'PIL.Image', 'mmengine.runner', 'mmcv.transforms',
                'mmpretrain.datasets', 'tensorboard')
KNOWN_REASONS = {"named 'ftfy'": 'install ftfy regex', "named 'regex'": 'install ftfy regex',
                 'NumPy 1.x': 'install "numpy<2"', "module 'numpy' has no attribute": 'install "numpy<2"',
                 "named 'pkg_resources": 'install "setuptools<81"',
                 'libGL': 'install --force-reinstall --no-deps opencv-python-headless'}
DENSE = ('mmdet.models', 'mmseg.models')


class Finding(NamedTuple):
    """An issue found: what it means, the command that fixes it, and whether pre-training cannot run before."""

    what: str
    fix: str
    stops: bool = False


def installed(name: str) -> dict[str, str]:
    """Map the installed distributions that bring an import name to their versions."""
    found = {}
    for distribution in STACK[name]:
        with contextlib.suppress(metadata.PackageNotFoundError, KeyError):
            found[distribution] = metadata.version(distribution) or 'half-installed'
    return found


def failure(module: str) -> str | None:
    """Import a module; return in a line why that fails, None if it does not."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            importlib.import_module(module)
    except BaseException as error:  # a broken module may even call exit
        if isinstance(error, KeyboardInterrupt):
            raise
        return f'{type(error).__name__}: {error}'.splitlines()[0][:200]
    return None


def mmcv_kind() -> str:
    """Name the kind of mmcv: missing, pure Python, compiled, or compiled against another torch."""
    spec = util.find_spec('mmcv')
    if spec is None or spec.origin is None:
        return 'missing'
    if not any(Path(spec.origin).parent.glob('_ext.*')):
        return 'pure Python, no ops'
    reason = failure('torch') or failure('mmcv._ext')
    return 'compiled ops' if reason is None else f'compiled against another torch ({reason})'


def devices() -> str:
    """Name what can be computed on."""
    if failure('torch'):
        return 'unknown without torch'
    import torch
    if torch.cuda.is_available():
        return ', '.join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
    return 'Apple GPU (mps)' if torch.backends.mps.is_available() else f'CPU, {torch.get_num_threads()} threads'


def find_unimportable() -> Iterator[Finding]:
    """Report what pre-training and the dense tasks need and is missing or broken."""
    for module in (*PRE_TRAINING, *DENSE):
        name, needed = module.partition('.')[0], module in PRE_TRAINING
        present = util.find_spec(name) is not None
        if not needed and (not present or not mmcv_kind().startswith('compiled ops')):
            continue  # optional, or explained by find_mmcv
        reason = failure(module)
        if reason:
            what = f'{name} is broken ({reason})' if present else f'{name} is missing'
            yield Finding(what, fix_import(name, reason, present), needed)


def fix_import(name: str, reason: str, present: bool) -> str:
    """Return the command for an import that fails, by its message."""
    for known, command in KNOWN_REASONS.items():
        if known in reason:
            return f'{PIP} {command}'
    wanted = re.search(r'is used but incompatible\. Please install (\w+.*?)\.?$', reason)
    if wanted:
        return f'{PIP} install --no-cache-dir "{wanted.group(1)}"'
    lost = re.search(r"No module named '(\w+)", reason)
    if present and lost and lost.group(1) != name:
        return f'{PIP} install {STACK.get(lost.group(1), lost.groups())[0]}'
    again = '--force-reinstall --no-deps --no-cache-dir ' if present else ''
    return f'{PIP} install {again}{next(iter(installed(name)), STACK[name][0])}'


def find_torchvision() -> Iterator[Finding]:
    """Report a torchvision whose compiled part does not load beside this torch."""
    if util.find_spec('torch') and compat.torchvision_is_crippled():
        yield Finding('the compiled part of torchvision does not load beside this torch: its transforms work (`import '
                      'mixmae_mm` sees to that), its operators do not. For good, where your torch came from',
                      f'{PIP} install --force-reinstall --no-deps torchvision')


def find_unfixed() -> Iterator[Finding]:
    """Report what `compat.apply` could not fix although what it fixes can be imported."""
    cache = compat.FAILED.get('import_formatter')
    cut_off = isinstance(cache, EOFError | UnpicklingError)
    if cut_off:
        command = f"{sys.executable} -c 'import platformdirs; print(platformdirs.user_cache_dir(\"YAPF\"))'"
        yield Finding(f'the cache of yapf is cut off ({cache}): remove the folder that this names', command)
    if any(failure(name) for name in ('torch', 'numpy', 'mmengine.logging', 'mmengine.config')):
        return
    for name, error in compat.FAILED.items():
        if error is not cache or not cut_off:
            reason = f'{type(error).__name__}: {error}'.splitlines()[0][:200]
            wanted = reason.partition('pip install ')[2]
            fix = f'{PIP} install {wanted}' if wanted else '-'
            yield Finding(f'mixmae_mm could not {name.replace("_", " ")} ({reason})', fix)


def find_resume() -> Iterator[Finding]:
    """Report a stack that cannot load mmengine's checkpoints safely even with what compat allows."""
    if failure('torch') or failure('mmengine.logging'):
        return
    import torch
    from mmengine.logging import HistoryBuffer
    file = io.BytesIO()
    torch.save(HistoryBuffer([1.0], [1]), file)
    file.seek(0)
    try:
        torch.load(file, weights_only=True)
    except Exception as error:
        if 'get_unsafe_globals_in_checkpoint' in dir(torch.serialization):
            yield Finding(f'resuming would fail: torch.load refuses the log of mmengine ({type(error).__name__})',
                          f'{PIP} uninstall -y mmengine; {PIP} install --force-reinstall onedl-mmengine')


def find_mmcv() -> Iterator[Finding]:
    """Report an mmcv whose ops are missing or do not load: the dense tasks need them, pre-training does not."""
    kind = mmcv_kind()
    if kind.startswith(('pure', 'compiled against')):
        given, version = next(iter(installed('mmcv').items()), ('onedl-mmcv', ''))
        name = given.removesuffix('-lite')
        drop = f'{PIP} uninstall -y {given} && ' if name != given else ''
        pin = f'{name}=={version}' if version else name
        yield Finding(f'mmcv: {kind}. Enough for pre-training and classification; detection and segmentation need its '
                      'ops, compiled here (minutes; in a clone, `python3 tools/environment.py full` does it)',
                      f'{PIP} install "setuptools<81" wheel ninja && {drop}MMCV_WITH_OPS=1 {PIP} install '
                      f'--no-build-isolation --no-cache-dir --no-deps --force-reinstall --no-binary {name} "{pin}"')


def find_twins() -> Iterator[Finding]:
    """Report import names that two distributions bring: each overwrote half of the other."""
    for name in ('mmengine', 'mmcv', 'mmpretrain', 'mmdet', 'mmseg'):
        twins = installed(name)
        if len(twins) > 1:
            keep = next(iter(twins))
            yield Finding(f'{" and ".join(twins)} are both installed and overwrite one another', f'{PIP} uninstall -y '
                          f'{" ".join(twins)} && {PIP} install --no-cache-dir --no-deps {keep}=={twins[keep]}')


def find_wheel_cache() -> Iterator[Finding]:
    """Report an mmcv in pip's wheel cache, which knows neither its ops nor the torch they were compiled against."""
    command = [sys.executable, '-m', 'pip', 'cache', 'list', '*mmcv*']
    listing = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if listing.returncode == 0 and '.whl' in listing.stdout:
        yield Finding('pip keeps a wheel of mmcv and would install it again for another torch or other ops',
                      f'{PIP} cache remove "*mmcv*"')


def find_missing() -> Iterator[Finding]:
    """Report small things missing: pkg_resources, what mmseg forgets to ask for, the folder openmim reads."""
    if util.find_spec('pkg_resources') is None:
        yield Finding('pkg_resources is gone (setuptools 82): builds of mmcv fail', f'{PIP} install "setuptools<81"')
    if installed('mmseg') and not (util.find_spec('ftfy') and util.find_spec('regex')):
        yield Finding('mmseg does not import without ftfy and regex', f'{PIP} install ftfy regex')
    if not (Path(__file__).parents[1] / '.mim').is_dir():
        yield Finding('mixmae_mm is not installed, so mim cannot find its configs and tools; in its folder',
                      f'{PIP} install --no-deps -e .')


def find_gpu() -> Iterator[Finding]:
    """Report a GPU that this torch cannot use."""
    if shutil.which('nvidia-smi') and util.find_spec('torch') and devices().startswith('CPU'):
        yield Finding('there is a driver for NVIDIA GPUs, but this torch sees none: it is a CPU build, or newer than '
                      'the driver. For a build with CUDA', f'{PIP} install --force-reinstall torch torchvision')


def find_openmim() -> Iterator[Finding]:
    """Report openmim, whose server of wheels and weights is gone."""
    with contextlib.suppress(metadata.PackageNotFoundError):
        metadata.version('openmim')
        yield Finding('mim installs and downloads from a server of OpenMMLab that has not answered since June 2026',
                      f'{PIP} uninstall -y openmim')


CHECKS = (find_unimportable, find_unfixed, find_torchvision, find_resume, find_mmcv, find_twins, find_wheel_cache,
          find_missing, find_gpu, find_openmim)
