"""What a user sees of tools/train.py: in a pipe, on a terminal, and with the options that change it."""

import os
import re
import threading

import pytest
from forked import Program
from micro_training import ROOT, finish, make_config, tool

TALKS = """
import warnings

from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class TalkHook(Hook):
    def __init__(self, fails_after=None):
        self.fails_after = fails_after

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == 5:
            print('my own print')
            warnings.warn('my own warning')
        if runner.iter == self.fails_after:
            raise ValueError('no more')
"""
ON_TERMINAL = """
import runpy
import sys

sys.stdout = sys.stderr = open(sys.argv[1], 'w')
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name='__main__')
"""
DUMPS = ('Config:', 'Hooks will be executed', 'System environment', 'Exp name', 'deprecated')


@pytest.fixture
def config(tmp_path):
    """A training of 3 epoch(s) of 4 iterations, with a hook that prints."""
    path = make_config(tmp_path)
    (tmp_path / 'talks.py').write_text(TALKS)
    path.write_text(
        path.read_text().replace("['micro_training']", "['micro_training', 'talks']")
        + "custom_hooks += [dict(type='TalkHook')]\ntrain_dataloader.update(num_workers=0, persistent_workers=False)\n"
    )
    return path


def log_of(folder):
    """The log of the only run in a folder."""
    (path,) = folder.glob('*/*.log')
    return path.read_text()


def test_in_a_pipe_some_lines_are_shown_and_the_log_has_all(tmp_path, config, monkeypatch):
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    out, err = finish(tool('train.py', config, '--work-dir', tmp_path / 'run'))
    lines = out.splitlines()
    assert err == ''
    assert lines[0] == 'config    micro'
    assert lines[1] == f'work_dir  {tmp_path / "run"}'
    assert f'{tmp_path}/run/{lines[2].removeprefix("log file  ")}' in map(str, (tmp_path / 'run').glob('*/*.log'))
    assert lines[4] == 'training  32 images, 3 epoch(s) of 4 iterations, on cpu in float32'
    assert lines[5].startswith('epoch 1/3 [1/4]  loss ')
    assert lines[6] == 'my own print'
    assert re.fullmatch(r'warning: .*talks.py:\d+: UserWarning: my own warning', lines[7])
    assert lines[8].startswith('epoch 3/3 [4/4]  loss ')
    assert lines[9:] == [f'checkpoint: {tmp_path / "run" / "epoch_3.pth"}']
    log = log_of(tmp_path / 'run')
    assert all(dump in log for dump in DUMPS)
    assert len(re.findall(r'Epoch\(train\)', log)) == 12
    assert 'UserWarning: my own warning' in log
    assert 'py.warnings - WARNING' in log  # of the libraries as well
    assert re.search(r'site-packages/.*Warning', log)


def on_terminal(tmp_path, *words):
    """Run a tool on a terminal; what came out there."""
    (tmp_path / 'on_terminal.py').write_text(ON_TERMINAL)
    ours, theirs = os.openpty()
    read = bytearray()

    def listen():
        while not read.endswith(b'END'):
            read.extend(os.read(ours, 4096))

    reader = threading.Thread(target=listen)
    reader.start()
    try:
        finish(Program(tmp_path / 'on_terminal.py', os.ttyname(theirs), *words))
    finally:
        os.write(theirs, b'END')
        reader.join()
        os.close(ours)
        os.close(theirs)
    return read.decode().removesuffix('END').replace('\r\n', '\n')


def test_on_a_terminal_the_progress_is_one_line(tmp_path, config, monkeypatch):
    for name, value in dict(PYTHONPATH=str(tmp_path), TERM='xterm', COLUMNS='100').items():
        monkeypatch.setenv(name, value)
    text = on_terminal(tmp_path, ROOT / 'tools/train.py', config, '--work-dir', tmp_path / 'run')
    assert not any(dump in text for dump in DUMPS)
    states = [state.split('  ')[0] for state in re.findall(r'\r(epoch [^\r]*)\x1b\[K', text)]
    assert (states[0], states[-1]) == ('epoch 1/3 [1/4]', 'epoch 3/3 [4/4]')
    assert len(states) > 2
    assert '\r\x1b[Kmy own print\nwarning: ' in text
    ending = f'\x1b[K\ncheckpoint: {tmp_path / "run" / "epoch_3.pth"}\n'
    assert text.endswith(ending)
    assert text.count('\n') == 5 + 2 + 2


@pytest.mark.parametrize('option', ['--verbose', '--debug'])
def test_all_is_shown_if_asked_for(tmp_path, config, monkeypatch, option):
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    out, err = finish(tool('train.py', config, '--work-dir', tmp_path / 'run', option))
    assert all(dump in out for dump in DUMPS)
    assert len(re.findall(r'mmengine.* - Epoch\(train\)', out)) == 12
    assert 'UserWarning: my own warning' in err


def test_quiet_leaves_progress_and_errors(tmp_path, config, monkeypatch):
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    broken = ['--cfg-options', 'custom_hooks.1.fails_after=8']
    out, err = finish(tool('train.py', config, '--work-dir', tmp_path / 'run', '--quiet', *broken), status=1)
    assert [line.split('  ')[0] for line in out.splitlines()] == ['epoch 1/3 [1/4]']
    log = log_of(tmp_path / 'run')
    assert all(text in log for text in ('my own print', 'my own warning', 'ValueError: no more'))
    (path,) = (tmp_path / 'run').glob('*/*.log')
    assert err == f'error: no more\n(traceback: {path})\n'
