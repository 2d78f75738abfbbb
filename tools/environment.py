"""Set up an environment at the repository's root: `python3 tools/environment.py light|full|upstream [--torch 2.14.1]`.

light: torch, torchvision, pure-Python mmcv, mmpretrain and this package: enough for pre-training and classification.
full: light plus compiled mmcv ops, mmdet, mmseg, what single features need, and the test tools.
upstream: in `.venv-upstream`, light with upstream's OpenMMLab instead of OneDL's builds, plus the test tools.
--torch: in `.venv-torch2.14.1`, the same with that torch and the newest versions of everything except OpenMMLab.

Each step leaves a stamp with a hash of what it depends on, so that a finished setup returns at once and an interrupted
one resumes. The compiled mmcv wheel is kept in `$MIXMAE_MM_CACHE` (or `$XDG_CACHE_HOME/mixmae_mm`, or
`~/.cache/mixmae_mm`). Standard library only.
"""

import argparse
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ((3, 11), (3, 12), (3, 13))
CURRENT = '.'.join(map(str, sys.version_info[:2]))
PROBE = 'import sys, pip; print("%d.%d" % sys.version_info[:2])'
BUILD_TAG = ('import sys, os, sysconfig, torch; gpu = torch.cuda.is_available() or os.getenv("FORCE_CUDA") == "1"; '
             'print("cp%d%d-%s-torch%s-%s" % (*sys.version_info[:2], sysconfig.get_platform(), torch.__version__, '
             '"cuda" if gpu else "cpu"))')  # fmt: skip


class StepError(Exception):
    """A step failed; the message says what to do about it."""


class Step(NamedTuple):
    """One part of the setup: what pip is asked to do, and the files that its result depends on."""

    name: str
    what: str
    arguments: str
    files: tuple[str, ...]
    env: dict[str, str] = {}


def pip_step(name: str, what: str, options: str, files: str, env: dict[str, str] | None = None) -> Step:
    """Make a step that installs the requirements named in `files`; names that begin with `-` are constraints."""
    paths = [f'requirements/{file.lstrip("-")}.txt' for file in files.split()]
    flags = ['-c' if file.startswith('-') else '-r' for file in files.split()]
    arguments = [options, *(f'{flag} {path}' for flag, path in zip(flags, paths, strict=True))]
    return Step(name, what, ' '.join(arguments), tuple(paths), env or {})


# pip's wheel cache does not know which mmcv it holds; an isolated build of mmcv finds no torch and compiles nothing
STEPS = (
    pip_step('torch', 'torch, torchvision, ... (half a minute, plus the download)', '', 'runtime'),
    pip_step('openmmlab', 'mmengine, pure-Python mmcv, mmpretrain (20 s)', '--no-cache-dir', '-runtime mminstall'),
    pip_step('upstream', 'upstream mmengine, pure-Python mmcv, mmpretrain (20 s)',
             '--no-cache-dir --no-build-isolation', '-runtime -mminstall upstream', {'MMCV_WITH_OPS': '0'}),
    Step('project', 'mixmae_mm itself, in place', '--no-deps --no-build-isolation -e .',
         ('setup.py', 'pyproject.toml', 'mixmae_mm/version.py')),
    Step('ops', 'mmcv with compiled ops', '', ('requirements/runtime.txt', 'requirements/mminstall.txt')),
    pip_step('dense', 'mmdet, mmseg (20 s)', '--no-cache-dir --no-deps', '-runtime -mminstall dense'),
    pip_step('tests', 'pytest, ruff, onnxruntime, ... (half a minute)', '', '-runtime tests extras docs'),
)  # fmt: skip
KINDS = {
    'light': ('torch', 'openmmlab', 'project'),
    'full': ('torch', 'openmmlab', 'project', 'ops', 'dense', 'tests'),
    'upstream': ('torch', 'upstream', 'project', 'tests'),
}


def say(message: str) -> None:
    """Print one line, at once."""
    print(f'[environment] {message}', flush=True)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive file lock, after waiting for any process that holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('w') as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def run(command: list, what: str, env: dict | None = None, cwd: Path | None = None) -> None:
    """Run a command quietly; raise `StepError` with its last 40 lines if it fails."""
    say(what)
    start = time.monotonic()
    with tempfile.TemporaryFile('w+', errors='replace') as log:
        code = subprocess.run([str(part) for part in command], stdout=log, stderr=subprocess.STDOUT, cwd=cwd,
                              env={**os.environ, **(env or {})}).returncode  # fmt: skip
        log.seek(0)
        if code:
            tail = ''.join(log.readlines()[-40:])
            raise StepError(f'{tail}\nfailed (exit status {code}): {" ".join(map(str, command))}')
    say(f'    done in {time.monotonic() - start:.0f} s')


def has_ops(wheel: Path) -> bool:
    """Return whether a wheel is intact and contains mmcv's compiled ops."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            return 'mmcv/_ext.' in '\n'.join(archive.namelist()) and archive.testzip() is None
    except (zipfile.BadZipFile, OSError, EOFError):
        return False


def open_pins(text: str, torch: str) -> str:
    """Pin torch to a version, and allow newer versions of all else except OpenMMLab and pins with a comment."""
    text = re.sub('^torch==.*', f'torch=={torch}', text, flags=re.MULTILINE)
    text = re.sub('^torchvision==.*', 'torchvision', text, flags=re.MULTILINE)
    return re.sub('^(?!torch=|onedl-|mm)(\\S+)==(\\S+)$', '\\1>=\\2', text, flags=re.MULTILINE)


class Environment:
    """Virtual environment of a clone, and the steps that make it; with open pins if a torch is given."""

    def __init__(self, root: Path, cache: Path, folder: str = '.venv', torch: str | None = None) -> None:
        self.root, self.cache, self.torch = root, cache, torch
        self.venv = root / (f'{folder}-torch{torch}' if torch else folder)
        self.python = self.venv / 'bin' / 'python'

    def set_up(self, kind: str) -> None:
        """Run the steps of a kind of environment that are not done yet."""
        if not self.pending(kind):
            return say(f'{kind}: ready ({self.venv})')
        start = time.monotonic()
        lock = self.cache / 'locks' / hashlib.sha256(str(self.venv).encode()).hexdigest()[:16]
        with locked(lock):
            self.ensure_venv()
            steps = self.pending(kind)
            for number, step in enumerate(steps, 1):
                say(f'{kind}, step {number} of {len(steps)}: {step.name}')
                if step.name == 'ops':
                    self.install_ops()
                else:
                    self.pip(step.what, *step.arguments.split(), env=step.env)
                (self.venv / 'stamps').mkdir(exist_ok=True)
                (self.venv / 'stamps' / step.name).write_text(self.key(step))
        say(f'{kind}: ready in {time.monotonic() - start:.0f} s ({self.venv})')

    def pending(self, kind: str) -> list[Step]:
        """List the steps whose stamp is missing, or belongs to other files or another interpreter."""
        stamps = {path.name: path.read_text() for path in (self.venv / 'stamps').glob('*')}
        steps = [step for step in STEPS if step.name in KINDS[kind]]
        return [step for step in steps if self.version != CURRENT or stamps.get(step.name) != self.key(step)]

    def key(self, step: Step) -> str:
        """Hash what a step depends on: its name, the interpreter, the clone's path and its files."""
        digest = hashlib.sha256(f'{step.name} {self.version} {self.root}'.encode())
        for file in step.files:
            digest.update((self.root / file).read_bytes())
        return digest.hexdigest()

    @cached_property
    def version(self) -> str | None:
        """The version of the environment's interpreter; None if it or its pip does not run."""
        try:
            answer = subprocess.run([self.python, '-I', '-c', PROBE], capture_output=True, text=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return answer.stdout.strip() or None

    def ensure_venv(self) -> None:
        """Make the environment unless a working one of this Python exists; forget packages that are half-installed."""
        vars(self).pop('version', None)
        if self.version != CURRENT:
            if self.venv.exists():
                fault = f'of Python {self.version}' if self.version else 'half-made (no working python or pip in it)'
                say(f'{self.venv} is {fault}: recreating it')
            if self.venv.is_symlink():  # to another clone's, which may be in use
                self.venv.unlink()
            try:
                run([sys.executable, '-m', 'venv', '--clear', self.venv], f'making {self.venv.name} (a few seconds)')
            except StepError as error:
                fix = "install your system's venv package, e.g.: apt-get install python3-venv"
                raise StepError(f'{error}\nIf it is ensurepip that is missing, {fix}') from error
            del self.version
        for info in (self.venv / f'lib/python{self.version}/site-packages').glob('*.dist-info'):
            if not (info / 'RECORD').is_file():  # which pip writes last
                say(f'{info.stem} is half-installed (an earlier run was interrupted): reinstalling it')
                shutil.rmtree(info)
                shutil.rmtree(self.venv / 'stamps', ignore_errors=True)

    def pip(self, what: str, *arguments: object, env: dict | None = None) -> None:
        """Install with the environment's pip."""
        quiet = ['--quiet', '--disable-pip-version-check', '--no-input']
        run([self.python, '-m', 'pip', 'install', *quiet, *map(self.opened, arguments)], what, env, self.root)

    def opened(self, argument: object) -> object:
        """Return a copy of a requirements file with open pins if a torch is given; any other argument unchanged."""
        if not self.torch or not str(argument).startswith('requirements/'):
            return argument
        file = self.venv / str(argument)
        file.parent.mkdir(exist_ok=True)
        file.write_text(open_pins((self.root / file.relative_to(self.venv)).read_text(), self.torch))
        return file

    def install_ops(self) -> None:
        """Replace mmcv by a build with compiled ops; rebuild the kept wheel if it is broken or its ops do not load."""
        mmcv = re.search(r'^\S*mmcv==\S+', (self.root / 'requirements/mminstall.txt').read_text(), re.MULTILINE)[0]
        answer = subprocess.run([self.python, '-c', BUILD_TAG], capture_output=True, text=True)
        if answer.returncode:
            raise StepError(f'{answer.stderr}\ntorch does not import; run make clean, then this again')
        folder = self.cache / 'wheels' / f'{mmcv.replace("==", "-")}-{answer.stdout.strip()}'
        with locked(folder.with_name(f'{folder.name}.lock')):
            kept = next(folder.glob('*.whl'), None)
            if kept and has_ops(kept) and self.try_ops(kept):
                return
            if kept:
                say(f'{kept} is broken or its ops do not load: rebuilding it')
                shutil.rmtree(folder)
            if not self.try_ops(self.compile_ops(mmcv, folder)):
                raise StepError(f'the ops compiled but do not load; see: {self.python} -c "import mmcv.ops"')

    def try_ops(self, wheel: Path) -> bool:
        """Install a wheel; return whether its ops load."""
        self.pip(f'mmcv with compiled ops, from {wheel}', '--no-cache-dir', '--no-deps', '--force-reinstall', wheel)
        return subprocess.run([self.python, '-c', 'import mmcv.ops'], capture_output=True).returncode == 0

    def compile_ops(self, mmcv: str, folder: Path) -> Path:
        """Compile in a temporary folder beside `folder`, and move the finished wheel into `folder`."""
        compiler = os.environ.get('CXX', 'c++').split()[0]
        if shutil.which(compiler) is None:
            raise StepError(
                f'no C++ compiler ({compiler}) found, which mmcv needs for detection, segmentation and the tests. '
                'Install one (e.g.: apt-get install build-essential python3-dev); `make demo` needs none'
            )
        self.pip('ninja, for the compilation', '-c', 'requirements/dense.txt', 'ninja')
        memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
        jobs = max(1, min(os.cpu_count() or 1, memory // 2**31))  # each compiler takes up to 2 GB
        options = ['--no-build-isolation', '--no-deps', '--no-cache-dir', '--no-binary', mmcv.partition('==')[0]]
        with tempfile.TemporaryDirectory(dir=folder.parent) as building:
            env = {'MMCV_WITH_OPS': '1', 'MAX_JOBS': str(jobs), 'PATH': f'{self.python.parent}:{os.environ["PATH"]}'}
            what = f'compiling mmcv ops: about 5 minutes on two cores, once per machine ({jobs} jobs)'
            command = [self.python, '-m', 'pip', 'wheel', *options, '-w', building, mmcv]
            run(command, what, env | fast_compiler(building), self.root)
            wheel = next(Path(building).glob('*.whl'), None)
            if wheel is None or not has_ops(wheel):
                raise StepError(f'the build of {mmcv} made no wheel with compiled ops; does torch work in {self.venv}?')
            folder.mkdir(exist_ok=True)
            return wheel.replace(folder / wheel.name)


def fast_compiler(folder: str | Path) -> dict[str, str]:
    """Return the variables that make GCC or Clang use precompiled headers (`tools/fast_cxx.py`); none for others.

    With them, the compilation took 301 s on two idle cores.
    """
    compiler, fast = os.environ.get('CXX', 'c++'), ROOT / 'tools' / 'fast_cxx.py'
    probe = {**os.environ, 'FAST_CXX': compiler}
    try:
        answer = subprocess.run([fast, '--version'], capture_output=True, text=True, env=probe)
    except OSError:  # a file system that runs no scripts
        return {}
    if answer.returncode or not re.search('gcc|g\\+\\+|clang|Free Software Foundation', answer.stdout):
        return {}
    return {'CXX': str(fast), 'FAST_CXX': compiler, 'FAST_CXX_FOLDER': str(folder)}


def main() -> int:
    """Set up the kind of environment that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('kind', choices=KINDS)
    parser.add_argument('--torch', metavar='VERSION', help='this torch, in an environment of its own')
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that child processes end, too
    if sys.version_info[:2] not in PYTHONS:
        say(f'Python 3.11, 3.12 or 3.13 is needed and this is {sys.version.split()[0]}; e.g.: make PYTHON=python3.11')
        return 1
    try:
        caches = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
        cache = Path(os.environ.get('MIXMAE_MM_CACHE') or caches / 'mixmae_mm')
        folder = '.venv-upstream' if arguments.kind == 'upstream' else '.venv'
        Environment(ROOT, cache, folder, arguments.torch).set_up(arguments.kind)
    except StepError as error:
        say(f'{error}\n[environment] nothing is lost: the same command resumes from here')
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
