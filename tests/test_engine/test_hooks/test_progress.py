import io
import logging
import re
from types import SimpleNamespace

import pytest
from mmengine.logging import MessageHub, MMLogger
from mmengine.runner import Runner
from rich.console import Console
from training_toys import toy_config

from mixmae_mm.engine.hooks import ProgressHook, live_line, progress


class Clock:
    """Time that passes only on request."""

    now = 100.0

    def __call__(self):
        return self.now

    def wait(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, 'perf_counter', clock)
    monkeypatch.setattr(live_line, 'perf_counter', clock)
    return clock


def fake_terminal(width=150):
    return Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None, _environ={'TERM': 'xterm'})


def screen(written):
    """Show what a terminal shows: it erases lines, goes up, and writes over."""
    lines, row, column = [''], 0, 0
    for piece in re.findall(r'\x1b\[[?\d;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+', written):
        if piece == '\n':
            row, column = row + 1, 0
            lines += [''] * (row == len(lines))
        elif piece == '\r':
            column = 0
        elif piece == '\x1b[2K':
            lines[row] = ''
        elif piece == '\x1b[1A':
            row -= 1
        elif not piece.startswith('\x1b'):
            lines[row] = lines[row][:column].ljust(column) + piece + lines[row][column + len(piece) :]
            column += len(piece)
        else:
            assert re.fullmatch(r'\x1b\[(\?25[lh]|[\d;]*m)', piece), f'unknown to this terminal: {piece!r}'
    return lines


def train_by_hand(hook, clock, runner, steps=((1.0, 3.0), (2.0, 2.0))):
    """Go through iterations of given seconds of waiting and working, 8 images each; 5 s of saving after each."""
    hook.before_run(runner)
    hook.before_train(runner)
    hook.before_train_epoch(runner)
    for waiting, working in steps:
        clock.wait(waiting)
        hook.before_train_iter(runner, batch_idx=runner.iter, data_batch=None)
        clock.wait(working)
        runner.message_hub.update_scalar('train/loss', 0.5 + runner.iter)
        hook.after_train_iter(runner, batch_idx=runner.iter, data_batch=dict(inputs=[0] * 8), outputs={})
        runner.iter += 1


def fake_runner(name, rank=0, **state):
    logger = MMLogger.get_instance(name, logger_name=name)
    defaults = dict(rank=rank, world_size=4, logger=logger, message_hub=MessageHub.get_instance(name))
    return SimpleNamespace(**defaults | dict(iter=0, epoch=2, max_iters=10, max_epochs=5) | state)


def test_numbers_are_of_all_ranks_and_of_all_the_time(clock):
    runner = fake_runner('numbers')
    train_by_hand(ProgressHook(), clock, runner)
    scalars = runner.message_hub.log_scalars
    assert scalars['train/images_per_second'].data[0].tolist() == [4 * 8 / 4, 2 * 4 * 8 / 8]
    assert scalars['train/data_wait'].data[0].tolist() == [1 / 4, 3 / 8]


def test_line_says_where_the_run_is_and_when_it_ends(clock):
    hook = ProgressHook(console=fake_terminal())
    # Resumed at iteration 6: 2 more take 8 s, so the last 2 take 8 s.
    train_by_hand(hook, clock, fake_runner('line', iter=6))
    (line,) = [line for line in screen(hook.line.console.file.getvalue()) if line]
    assert line.split(maxsplit=1)[1].strip() == (
        'epoch 3/5  iter 8/10  eta 0:00:08  loss 7.5000  8.0 images/s  data wait 38%'
    )
    hook.after_run(None)
    assert not any(screen(hook.line.console.file.getvalue()))


def test_one_epoch_is_not_named(clock):
    hook = ProgressHook(console=fake_terminal())
    train_by_hand(hook, clock, fake_runner('iterations', max_epochs=1))
    assert re.fullmatch('━+ +iter 2/10  eta .*', screen(hook.line.console.file.getvalue())[-1])


def test_line_is_redrawn_no_faster_than_asked_but_for_the_last_time(clock):
    hook = ProgressHook(console=fake_terminal(), refresh=10)
    train_by_hand(hook, clock, fake_runner('refresh', max_iters=4), steps=[(0.0, 3.0)] * 4)
    shown = re.findall(r'iter (\d)/4', hook.line.console.file.getvalue())
    assert shown == ['1', '4']


@pytest.mark.parametrize(('rank', 'console'), [(1, fake_terminal()), (0, Console(file=io.StringIO()))])
def test_nothing_is_drawn_by_other_ranks_or_without_a_terminal(clock, rank, console):
    hook = ProgressHook(console=console)
    train_by_hand(hook, clock, fake_runner(f'silent{rank}', rank=rank))
    assert console.file.getvalue() == ''


def test_a_color_setting_does_not_make_a_log_file_a_terminal(monkeypatch):
    monkeypatch.setenv('FORCE_COLOR', '1')
    monkeypatch.setattr('sys.stdout', io.StringIO())
    assert not ProgressHook().line.console.is_terminal


class ClosingTerminal(io.StringIO):
    """A terminal that goes away, as when an SSH connection breaks."""

    writes = 0

    def write(self, text):
        self.writes += 1
        if self.writes > 8:
            raise OSError(5, 'Input/output error')
        return super().write(text)


def test_a_terminal_that_goes_away_ends_the_line_and_not_the_run(clock):
    console = fake_terminal()
    console.file = ClosingTerminal()
    runner = fake_runner('closing')
    before = [handler.stream for handler in runner.logger.handlers]
    hook = ProgressHook(console=console)
    train_by_hand(hook, clock, runner, steps=[(1.0, 1.0)] * 10)
    assert runner.iter == 10
    assert console.file.writes > 8
    assert hook.line.progress is None
    assert [handler.stream for handler in runner.logger.handlers] == before


def trained(tmp_path, console):
    """Run a toy training with the hook; the runner, its log file's lines, and the hook."""
    runner = Runner.from_cfg(toy_config(tmp_path, log_level='INFO'))
    hook = ProgressHook(console=console, refresh=0)
    runner.register_hook(hook)
    runner.train()
    (log,) = [handler.baseFilename for handler in runner.logger.handlers if isinstance(handler, logging.FileHandler)]
    return runner, open(log).read().splitlines(), hook


def test_log_lines_stand_whole_above_the_line(tmp_path):
    console = fake_terminal(width=60)  # narrower than a log line
    _, log, hook = trained(tmp_path, console)
    shown = screen(console.file.getvalue())
    in_file = [line.split(' - INFO - ', 1)[1] for line in log if 'Epoch(train)' in line]
    on_terminal = [line.split(' - INFO - ', 1)[1] for line in shown if 'Epoch(train)' in line]
    assert on_terminal == in_file
    assert len(in_file) == 24
    assert not any('━' in line for line in shown)
    assert console.file.getvalue().count('iter 24/24') >= 1


def test_log_lines_carry_the_numbers_without_a_terminal(tmp_path):
    console = Console(file=io.StringIO())
    runner, log, _ = trained(tmp_path, console)
    assert console.file.getvalue() == ''
    found = [re.search(r'images_per_second: ([\d.]+)  data_wait: ([\d.]+)', line) for line in log]
    numbers = [(float(match[1]), float(match[2])) for match in found if match]
    assert len(numbers) == 23  # of 24 log lines: the first has no iteration before it
    scalars = runner.message_hub.log_scalars
    assert numbers[-1][0] == pytest.approx(scalars['train/images_per_second'].data[0][-2], abs=1e-3)
    assert all(0 <= wait <= 1 for _, wait in numbers)
