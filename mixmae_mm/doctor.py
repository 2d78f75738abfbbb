"""Report on this environment and what to fix: `python -m mixmae_mm.doctor`.

It prints what is installed and each known issue found, with the command that fixes it; it exits with 1 if pre-training
cannot run. The checks need nothing but the standard library, because everything else may be missing or broken.
"""

import contextlib
import importlib
import io
import re
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata, util
from typing import NamedTuple

from mixmae_mm.utils import compat

PIP = 'python -m pip'
STACK = {
    'torch': ('torch',),
    'torchvision': ('torchvision',),
    'mmengine': ('onedl-mmengine', 'mmengine'),
    'mmcv': ('onedl-mmcv', 'mmcv', 'mmcv-lite'),
    'mmpretrain': ('onedl-mmpretrain', 'mmpretrain'),
    'mmdet': ('onedl-mmdetection', 'mmdet'),
    'mmseg': ('onedl-mmsegmentation', 'mmsegmentation'),
    'numpy': ('numpy',),
    'PIL': ('pillow',),
    'tensorboard': ('tensorboard',),
    'mixmae_mm': ('mixmae_mm',),
}
"""Import names, and the distributions that provide them, starting with the one to install."""
NEEDED = (
    'torch',
    'torchvision.transforms',
    'numpy',
    'PIL.Image',
    'mmengine.runner',
    'mmcv.transforms',
    'mmpretrain.datasets',
    'tensorboard',
)
"""Modules without which pre-training cannot run."""


class Diagnosis(NamedTuple):
    """An issue found: what it means, the command that fixes it, and whether it stops pre-training."""

    what: str
    fix: str
    stops: bool = False


def installed(name: str) -> dict[str, str]:
    """Map the installed distributions that provide an import name to their versions."""
    found = {}
    for distribution in STACK[name]:
        with contextlib.suppress(metadata.PackageNotFoundError, KeyError):
            found[distribution] = metadata.version(distribution)
    return found


def failure(module: str) -> str:
    """Import a module; return in one line why that fails, or '' if it does not."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            importlib.import_module(module)
    except (Exception, SystemExit) as error:  # a broken module may even call exit
        return f'{type(error).__name__}: {error}'.splitlines()[0][:200]
    return ''


def find_broken() -> Iterator[Diagnosis]:
    """Find missing or broken modules of pre-training, broken ones of mmdet and mmseg if installed, and failed fixes."""
    for module in (*NEEDED, 'mmdet.models', 'mmseg.models'):
        name, present = module.partition('.')[0], util.find_spec(module.partition('.')[0]) is not None
        reason = (present or module in NEEDED) and failure(module)
        if reason:
            lost = re.search(r"No module named '(\w+)", reason)
            other = lost and lost[1] != name
            package = STACK.get(lost[1], lost.groups())[0] if other else next(iter(installed(name)), STACK[name][0])
            again = '--force-reinstall --no-deps ' if present and not other else ''
            what = f'{name} is broken ({reason})' if present else f'{name} is missing'
            yield Diagnosis(what, f'{PIP} install {again}{package}', module in NEEDED)
    for name, error in compat.FAILED.items() if util.find_spec('mmengine') else ():
        wanted = str(error).partition('pip install ')[2]
        remedy = 'remove the folder ~/.cache/YAPF' if isinstance(error, EOFError) else 'see the error'
        yield Diagnosis(
            f'mixmae_mm could not {name.replace("_", " ")} ({type(error).__name__}: {error})',
            f'{PIP} install {wanted}' if wanted else remedy,
        )


def find_mismatched() -> Iterator[Diagnosis]:
    """Find compiled parts that do not load with this torch, a GPU that it does not see, and duplicate distributions."""
    reason = util.find_spec('mmcv') and failure('mmcv._ext')
    if reason:
        own = next(iter(installed('mmcv')), 'onedl-mmcv').removesuffix('-lite')
        yield Diagnosis(
            f'mmcv has no ops, or was compiled against another torch ({reason}): enough for pre-training '
            'and classification, not for detection and segmentation',
            f'MMCV_WITH_OPS=1 {PIP} install --no-build-isolation --no-cache-dir --no-deps --force-reinstall '
            f'--no-binary {own} {own}  (takes minutes to compile; needs setuptools<81 and ninja)',
        )
    if compat.torchvision_is_crippled():
        yield Diagnosis(
            'the compiled part of torchvision does not load with this torch: its operators do not work',
            f'{PIP} install --force-reinstall --no-deps torchvision',
        )
    if shutil.which('nvidia-smi') and not failure('torch') and not sys.modules['torch'].cuda.is_available():
        yield Diagnosis(
            'there is a driver for NVIDIA GPUs, but this torch sees none: it is built for CPUs, or is newer '
            'than the driver',
            f'{PIP} install --force-reinstall torch torchvision',
        )
    for twins in filter(lambda found: len(found) > 1, map(installed, STACK)):
        keep = next(iter(twins))
        yield Diagnosis(
            f'{" and ".join(twins)} are both installed and overwrite one another',
            f'{PIP} uninstall -y {" ".join(twins)} && {PIP} install --no-cache-dir --no-deps {keep}=={twins[keep]}',
        )


def versions() -> Iterator[str]:
    """Yield a line for Python, for each package, and for what mmengine (if installed) reports on CUDA and GPUs."""
    yield f'Python: {sys.version.split()[0]}'
    for name in STACK:
        yield f'{name}: {", ".join(f"{version} ({own})" for own, version in installed(name).items()) or "missing"}'
    with contextlib.suppress(Exception):
        from mmengine.utils.dl_utils import collect_env

        yield from (f'{name}: {value}' for name, value in collect_env().items() if 'GPU' in name or 'CUDA' in name)


def main() -> int:
    """Print the report; return the exit status, 0 if pre-training can run."""
    compat.apply()
    found = [*find_broken(), *find_mismatched()]
    print('\n'.join(versions()))
    for finding in found:
        print(f'\n{"STOPS PRE-TRAINING" if finding.stops else "note"}: {finding.what}:\n    {finding.fix}')
    stopped = any(finding.stops for finding in found)
    print(f'\npre-training {"cannot run before the above is fixed" if stopped else "can run here"}')
    return int(stopped)


if __name__ == '__main__':
    sys.exit(main())
