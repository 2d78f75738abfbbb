"""Processes forked from a server that has imported everything, which saves each seven seconds of imports.

test_launchers.py tests how launchers start processes.
"""

import os
import runpy
import signal
import sys
import tempfile
from multiprocessing import forkserver, get_context, set_start_method
from pathlib import Path

from torch.multiprocessing import start_processes

ALONE = ('FORCE_COLOR', 'RANK', 'WORLD_SIZE', 'LOCAL_RANK')
CONTEXT = get_context('forkserver')
CONTEXT.set_forkserver_preload(['preloaded'])


def ensure_server():
    """Start the server with our folders on its path, unless it is running."""
    ours = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parent)])
    before = os.environ.get('PYTHONPATH')
    os.environ['PYTHONPATH'] = os.pathsep.join(filter(None, [ours, before]))
    try:
        forkserver.ensure_running()
    finally:
        os.environ.pop('PYTHONPATH') if before is None else os.environ.update(PYTHONPATH=before)


def spawn(function, arguments, processes):
    """Call `function(rank, *arguments)` in this many processes; raise the error of any of them."""
    ensure_server()
    start_processes(function, arguments, processes, start_method='forkserver')


class Program:
    """A Python program in a separate process, with the part of `subprocess.Popen`'s interface that `finish` needs."""

    def __init__(self, path, *arguments, **environment):
        ensure_server()
        self.folder = tempfile.TemporaryDirectory()
        words = [str(path), *map(str, arguments)]
        inherited = {name: value for name, value in os.environ.items() if name not in ALONE}
        environment = inherited | {name: str(value) for name, value in environment.items()}
        self.process = CONTEXT.Process(target=_run, args=(words, self.folder.name, os.getcwd(), environment))
        self.process.start()

    def communicate(self, timeout):
        """Wait for the end and return what was printed on both streams."""
        self.process.join(timeout)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        with self.folder as folder:
            return tuple(Path(folder, name).read_text() for name in ('out', 'err'))

    @property
    def returncode(self):
        return self.process.exitcode


def _run(words, folder, cwd, environment):
    """Run a program in this process, as `python PROGRAM ...` would."""
    set_start_method('fork', force=True)  # as in a separate program, not by a server again
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    for stream, name in ((1, 'out'), (2, 'err')):
        os.dup2(os.open(Path(folder, name), os.O_WRONLY | os.O_CREAT), stream)
    sys.argv = words
    sys.path[:0] = [os.path.dirname(words[0]), *filter(None, environment.get('PYTHONPATH', '').split(os.pathsep))]
    runpy.run_path(words[0], run_name='__main__')
