"""Trainings killed at random moments end as those that were not; the trial itself notices what does not."""

import pytest
import torch
from forked import Program
from micro_training import ROOT, finish, make_config
from tool_loading import load_tool


@pytest.mark.slow
def test_two_kills(tmp_path):
    config, work_dir = make_config(tmp_path), tmp_path / 'trial'
    tool = ROOT / 'tools/analysis/kill_trial.py'
    out, _ = finish(Program(tool, config, '--kills', 2, '--seed', 1, '--work-dir', work_dir))
    lines = out.splitlines()
    assert sum(line.startswith('straight run: iteration 12 after ') for line in lines) == 1
    assert sum(line.startswith('kill ') for line in lines) == 2
    assert all('all whole' in line for line in lines if line.startswith('kill '))
    assert lines[-1].endswith('ended at iteration 12: equal to the bit')


@pytest.fixture
def trial(monkeypatch, tmp_path):
    """The trial with trainings that only write what they are told to, and are killed the first time."""
    tool = load_tool('analysis/kill_trial.py')
    ends, torn = {}, []

    def run(config, work_dir, seconds=None):
        work_dir.mkdir(exist_ok=True)
        killed = seconds is not None and not list(work_dir.iterdir())
        parts = dict(state_dict={'x': ends.get(work_dir.name, torch.ones(2))}, optimizer={}, param_schedulers=[])
        torch.save(dict(parts, meta=dict(iter=5)), work_dir / 'epoch_1.pth')
        (work_dir / 'last_checkpoint').write_text(str(work_dir / 'epoch_1.pth'))
        if killed and torn:
            (work_dir / 'epoch_1.pth').write_bytes((work_dir / 'epoch_1.pth').read_bytes()[: torn[0]])
        return not killed

    monkeypatch.setattr(tool, 'run', run)
    return lambda kills=2: tool.kill_trial(None, tmp_path / 'trial', kills, 0), ends, torn


def test_rounds_that_end_alike(trial, capsys):
    assert trial[0]()
    out = capsys.readouterr().out
    assert out.count('equal to the bit') == out.count('1 checkpoints, all whole, 0 unfinished') == 2


def test_a_round_that_ends_otherwise_is_told(trial, capsys):
    trial[1]['round_1'] = torch.tensor([1.0, 1.0000001])
    assert not trial[0]()
    out = capsys.readouterr().out
    assert 'round 1 ended at iteration 5: equal to the bit' in out
    assert 'round 2 ended at iteration 5: NOT equal' in out


def test_half_a_checkpoint_is_told(trial):
    trial[2].append(400)
    with pytest.raises(ValueError, match='epoch_1.pth cannot be read as weights'):
        trial[0]()
