"""Set up an environment at the repository's root: `python3 tools/environment.py light|full|upstream`.

light: torch, torchvision, pure-Python mmcv, mmpretrain and this package: enough for pre-training and classification.
full: light with compiled mmcv ops, mmdet, mmseg, what single features ask for, and the test tools.
upstream: in `.venv-upstream`, as light with upstream's OpenMMLab in place of OneDL's builds, and the test tools.

Each step leaves a stamp keyed by what it depends on, written only once it succeeded; so a finished set-up returns at
once, and whatever an interrupted call left half-made is fixed by the next. The compiled mmcv wheel is kept outside the
clone, in `$MIXMAE_MM_CACHE` (or `$XDG_CACHE_HOME/mixmae_mm`, or `~/.cache/mixmae_mm`). Standard library only.
"""

import argparse
import contextlib
import csv
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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ((3, 10), (3, 11), (3, 12))
HEARTBEAT = 20  # seconds between two signs of life
PROBE = 'import sys, pip; print("%d.%d" % sys.version_info[:2])'
BUILD_TAG = ('import sys, os, sysconfig, torch; gpu = torch.cuda.is_available() or os.getenv("FORCE_CUDA") == "1"; '
             'print("cp%d%d-%s-torch%s-%s" % (*sys.version_info[:2], sysconfig.get_platform(), torch.__version__, '
             '"cuda" if gpu else "cpu"))')


class StepError(Exception):
    """A step failed; the message says what to do about it."""


def say(message: str) -> None:
    """Print one line, at once, so that nobody waits without knowing for what."""
    print(f'[environment] {message}', flush=True)


def cache_folder() -> Path:
    """Name the folder outside the clone in which compiled wheels and locks are kept."""
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(os.environ.get('MIXMAE_MM_CACHE') or Path(base) / 'mixmae_mm')


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[TextIO]:
    """Hold an exclusive file lock, saying so if another process has to be waited for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('w') as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f'waiting: another process is at {what}')
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle


def run(command: list, what: str, env: dict | None = None, cwd: Path | None = None, hold: TextIO | None = None) -> None:
    """Run a command quietly with a sign of life now and then; raise `StepError` with its last 40 lines if it fails.

    The lock in `hold` is handed to the child, so that it stays locked should the child outlive this process.
    """
    say(what)
    start = time.monotonic()
    with tempfile.TemporaryFile('w+', errors='replace') as log:
        child = subprocess.Popen([str(part) for part in command], stdout=log, stderr=subprocess.STDOUT, cwd=cwd,
                                 env={**os.environ, **(env or {})}, pass_fds=[hold.fileno()] if hold else [])
        try:
            while (code := _wait(child)) is None:
                say(f'    ... {time.monotonic() - start:.0f} s')
        except BaseException:
            child.terminate()
            child.wait()
            raise
        if code:
            log.seek(0)
            tail = ''.join(log.readlines()[-40:])
            raise StepError(f'{tail}\nfailed (exit status {code}): {" ".join(map(str, command))}')
    say(f'    done in {time.monotonic() - start:.0f} s')


def _wait(child: subprocess.Popen) -> int | None:
    try:
        return child.wait(HEARTBEAT)
    except subprocess.TimeoutExpired:
        return None


def has_ops(wheel: Path) -> bool:
    """Return whether a wheel is whole and holds mmcv's compiled ops."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            compiled = any(re.fullmatch(r'mmcv/_ext\..*(so|pyd)', name) for name in archive.namelist())
            return compiled and archive.testzip() is None
    except (zipfile.BadZipFile, OSError, EOFError):
        return False


def drop_broken_packages(site: Path) -> list[str]:
    """Make pip forget each package whose files are not all there, so that it installs it anew; return their names."""
    for leftover in site.glob('~*'):  # what pip sets aside while it replaces a package
        shutil.rmtree(leftover, ignore_errors=True)
    broken = [info for info in site.glob('*.dist-info') if not _is_whole(info)]
    for info in broken:
        shutil.rmtree(info)
    return [info.name.removesuffix('.dist-info') for info in broken]


def _is_whole(info: Path) -> bool:
    """Compare a package's files with the sizes in its RECORD; compiled Python files may come and go."""
    try:
        with (info / 'RECORD').open(newline='') as record:
            rows = [row for row in csv.reader(record) if row and not row[0].endswith('.pyc')]
        sizes = [(os.stat(info.parent / row[0]).st_size, row[2]) for row in rows]
    except (OSError, IndexError):
        return False
    return bool(rows) and all(not size or int(size) == actual for actual, size in sizes)


class Step(NamedTuple):
    """One part of the set-up: what it is called, the files its result depends on, and what makes it."""

    name: str
    files: tuple
    make: Callable[[], None]


class Environment:
    """A virtual environment of one clone, and the steps that make it."""

    def __init__(self, root: Path, cache: Path, folder: str = '.venv') -> None:
        self.root, self.cache = root, cache
        self.venv = root / folder
        self.python = self.venv / 'bin' / 'python'
        self.lock = None
        names = ('runtime', 'mminstall', 'upstream', 'dense', 'extras', 'docs', 'tests')
        need = [root / 'requirements' / f'{name}.txt' for name in names]
        self.runtime, self.mminstall, self.upstream, self.dense, self.extras, self.docs, self.tests = need
        self.project_files = tuple(root / name for name in ('setup.py', 'pyproject.toml', 'mixmae_mm/version.py'))
        torch = Step('torch', (self.runtime,), self.install_torch)
        project = Step('project', self.project_files, self.install_project)
        tests = Step('tests', (self.runtime, self.extras, self.docs, self.tests), self.install_tests)
        light = (torch, Step('openmmlab', (self.runtime, self.mminstall), self.install_openmmlab), project)
        full = (Step('ops', (self.runtime, self.mminstall), self.install_ops),
                Step('dense', (self.runtime, self.mminstall, self.dense), self.install_dense), tests)
        upstream = Step('upstream', (self.runtime, self.mminstall, self.upstream), self.install_upstream)
        self.steps = {'light': light, 'full': light + full, 'upstream': (torch, upstream, project, tests)}

    def set_up(self, kind: str) -> None:
        """Do what is not yet done of a kind of environment."""
        if not self.pending(kind):
            return say(f'{kind}: ready ({self.venv})')
        start = time.monotonic()
        name = hashlib.sha256(str(self.root).encode()).hexdigest()[:16]
        with locked(self.cache / 'locks' / name, f'setting up {self.venv}') as self.lock:
            self.ensure_venv()
            self.fix()
            steps = self.pending(kind)
            for number, step in enumerate(steps, 1):
                say(f'{kind}, step {number} of {len(steps)}: {step.name}')
                step.make()
                self.stamp(step).parent.mkdir(exist_ok=True)
                self.stamp(step).write_text(self.key(step))
        say(f'{kind}: ready in {time.monotonic() - start:.0f} s ({self.venv})')

    def fix(self) -> None:
        """Where an interrupted call left a package half-installed, have every step look after its packages again."""
        for package in drop_broken_packages(self.site()):
            say(f'{package} is half-installed (an earlier call was interrupted): installing it anew')
            shutil.rmtree(self.venv / 'stamps', ignore_errors=True)

    def pending(self, kind: str) -> list[Step]:
        """List the steps without a stamp that fits; all of them where the interpreter does not run."""
        if self.version() is None:
            return list(self.steps[kind])
        return [step for step in self.steps[kind] if not self.is_done(step)]

    def is_done(self, step: Step) -> bool:
        """Return whether a step's stamp was left by the same step with the same files and interpreter."""
        stamp = self.stamp(step)
        return stamp.is_file() and stamp.read_text() == self.key(step)

    def stamp(self, step: Step) -> Path:
        """Name the file that says that a step is done; it goes with the environment it speaks of."""
        return self.venv / 'stamps' / step.name

    def key(self, step: Step) -> str:
        """Digest what a step depends on: its name, the interpreter, the clone's place and its files."""
        digest = hashlib.sha256(f'{step.name} {self.version()} {self.root}'.encode())
        for file in step.files:
            digest.update(file.read_bytes())
        return digest.hexdigest()

    def version(self) -> str | None:
        """Ask the environment's interpreter for its version; None if it or its pip does not run."""
        if '_version' not in vars(self):
            try:
                answer = subprocess.run([self.python, '-I', '-c', PROBE], capture_output=True, text=True, timeout=60)
                self._version = answer.stdout.strip() or None
            except (OSError, subprocess.TimeoutExpired):
                self._version = None
        return self._version

    def site(self) -> Path:
        """Name the folder that packages are installed into."""
        return self.venv / 'lib' / f'python{self.version()}' / 'site-packages'

    def ensure_venv(self) -> None:
        """Make the environment, unless there is one whose interpreter and pip run."""
        vars(self).pop('_version', None)
        if self.version() is not None:
            return
        if self.venv.exists():
            say(f'{self.venv} is half-made (no working python or pip in it): making it anew')
        try:
            run([sys.executable, '-m', 'venv', '--clear', self.venv], f'making {self.venv.name} (a few seconds)',
                hold=self.lock)
        except StepError as error:
            raise StepError(f'{error}\nIf it is ensurepip that is missing, install your system\'s venv package, e.g.: '
                            f'apt-get install python3-venv') from error
        vars(self).pop('_version', None)

    def pip(self, what: str, *arguments: object, command: str = 'install', env: dict | None = None) -> None:
        """Run the environment's pip, never with its wheel cache: that knows not which mmcv it holds."""
        quiet = ['--quiet', '--disable-pip-version-check', '--no-input']
        run([self.python, '-m', 'pip', command, *quiet, *arguments], what, env, self.root, self.lock)

    def install_torch(self) -> None:
        """Install torch and what else comes as ready wheels."""
        self.pip('torch, torchvision, numpy, ... (about half a minute, plus the download)', '-r', self.runtime)

    def install_openmmlab(self) -> None:
        """Install mmengine, mmcv and mmpretrain. An mmcv of this version stays as it is, its compiled ops too.

        Its build runs isolated: with torch in sight it would compile the ops.
        """
        self.pip('mmengine, pure-Python mmcv, mmpretrain (about 20 s)', '--no-cache-dir',
                 '-c', self.runtime, '-r', self.mminstall)

    def install_upstream(self) -> None:
        """Install upstream's mmengine, mmcv and mmpretrain.

        The build of mmcv asks for pkg_resources, which an isolated build no longer has; with torch in sight, it has to
        be told not to compile.
        """
        self.pip('mmengine, pure-Python mmcv, mmpretrain of upstream (about 20 s)', '--no-cache-dir',
                 '--no-build-isolation', '-c', self.runtime, '-c', self.mminstall, '-r', self.upstream,
                 env={'MMCV_WITH_OPS': '0'})

    def install_project(self) -> None:
        """Install this package in place."""
        self.pip('mixmae_mm itself, in place', '--no-deps', '--no-build-isolation', '-e', '.')

    def install_dense(self) -> None:
        """Install mmdet and mmseg with exactly the packages named, see the file."""
        self.pip('mmdet, mmseg (about 20 s)', '--no-cache-dir', '--no-deps', '-r', self.dense)

    def install_tests(self) -> None:
        """Install what the tests and the linter need, and what single features and the site of the docs ask for."""
        self.pip('pytest, ruff, onnxruntime, ... (about half a minute)',
                 '-c', self.runtime, '-r', self.tests, '-r', self.extras, '-r', self.docs)

    def install_ops(self) -> None:
        """Replace mmcv by the one with compiled ops; a kept wheel whose ops do not load is built once more."""
        mmcv = re.search(r'^\S*mmcv==\S+', self.mminstall.read_text(), re.MULTILINE).group()
        answer = subprocess.run([self.python, '-c', BUILD_TAG], capture_output=True, text=True)
        if answer.returncode:
            raise StepError(f'{answer.stderr}\ntorch does not import; fix it with: make clean, then this again')
        folder = self.cache / 'wheels' / f'{mmcv.replace("==", "-")}-{answer.stdout.strip()}'
        wheel = self.ops_wheel(mmcv, folder)
        if not self.try_ops(wheel):
            say('the ops of the kept wheel do not load here: building it anew')
            wheel.unlink(missing_ok=True)
            if not self.try_ops(self.ops_wheel(mmcv, folder)):
                raise StepError('the ops compiled but do not load; see: .venv/bin/python -c "import mmcv.ops"')

    def try_ops(self, wheel: Path) -> bool:
        """Install a wheel and tell whether its ops load."""
        self.pip(f'mmcv with compiled ops, from {wheel}', '--no-cache-dir', '--no-deps', '--force-reinstall', wheel)
        return subprocess.run([self.python, '-c', 'import mmcv.ops'], capture_output=True).returncode == 0

    def ops_wheel(self, mmcv: str, folder: Path) -> Path:
        """Return the kept wheel with compiled ops, after compiling it where there is none that is whole."""
        with locked(folder.with_name(f'{folder.name}.lock'), 'compiling the same wheel') as lock:
            for wheel in folder.glob('*.whl'):
                if has_ops(wheel):
                    return wheel
                say(f'{wheel} is broken: building it anew')
                wheel.unlink()
            return self.compile_ops(mmcv, folder, lock)

    def compile_ops(self, mmcv: str, folder: Path, lock: TextIO) -> Path:
        """Compile in a folder of its own and move the wheel in place whole."""
        check_compiler()
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob('building-*'):
            shutil.rmtree(leftover)
        building = Path(tempfile.mkdtemp(prefix='building-', dir=folder))
        self.pip('ninja, for the compilation', '-c', self.dense, 'ninja')
        env = {'MMCV_WITH_OPS': '1', 'MAX_JOBS': str(jobs()), 'PATH': f'{self.python.parent}:{os.environ["PATH"]}',
               **fast_compiler(building)}
        options = ['--no-build-isolation', '--no-deps', '--no-cache-dir', '--no-binary', mmcv.partition('==')[0]]
        run([self.python, '-m', 'pip', 'wheel', *options, '-w', building, mmcv],
            f'compiling mmcv ops: about 5 minutes on two cores, once per machine ({jobs()} jobs)', env, self.root, lock)
        wheel = next(building.glob('*.whl'), None)
        if wheel is None or not has_ops(wheel):
            raise StepError(f'the build of {mmcv} made no wheel with compiled ops; is torch sound in {self.venv}?')
        os.replace(wheel, folder / wheel.name)
        shutil.rmtree(building)
        return folder / wheel.name


def jobs() -> int:
    """Count the compilers to run at once: one a core that we may use, with 2 GB of memory each."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    return max(1, min(cores, memory // 2**31))


def check_compiler() -> None:
    """Raise `StepError` where there is nothing to compile with, before minutes are lost."""
    compiler = os.environ.get('CXX', 'c++').split()[0]
    if shutil.which(compiler) is None:
        raise StepError(f'no C++ compiler ({compiler}) found, which the ops of mmcv need for detection, segmentation '
                        'and the tests. Install one (e.g.: apt-get install build-essential python3-dev), or do '
                        'without: `make demo` needs none')


def fast_compiler(folder: Path) -> dict[str, str]:
    """Return the variables that have GCC or Clang compile with precompiled headers; none for another compiler.

    On two idle cores that took 301 s (`tools/fast_cxx.py`).
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
    parser.add_argument('kind', choices=('light', 'full', 'upstream'))
    kind = parser.parse_args().kind
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that children end with us
    if sys.version_info[:2] not in PYTHONS:
        say(f'Python 3.10, 3.11 or 3.12 is needed and this is {sys.version.split()[0]}; e.g.: make PYTHON=python3.11')
        return 1
    try:
        Environment(ROOT, cache_folder(), '.venv-upstream' if kind == 'upstream' else '.venv').set_up(kind)
    except StepError as error:
        say(f'{error}\n[environment] nothing is lost: the same command goes on from here')
        return 1
    except KeyboardInterrupt:
        say('interrupted; the same command goes on from here')
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
