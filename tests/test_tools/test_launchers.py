"""The launchers, run with stand-ins for srun and Python that write down what they are given."""

import os
import subprocess

import pytest
from commands import launched
from tool_loading import TOOLS

ODD = ['--work-dir', '/x/my runs (1)', '--cfg-options', 'train_dataloader.dataset.data_root=/x/a b,c', "work_dir=it's"]
FIRST = {'dist_train': ['C', '2'], 'dist_test': ['C', 'W', '2'], 'slurm_train': ['P', 'J', 'C'], 'slurm_test': 'PJCW'}
TAKEN = {'dist_train': ['C'], 'dist_test': ['C', 'W'], 'slurm_train': ['C'], 'slurm_test': ['C', 'W']}


@pytest.mark.parametrize('script', FIRST)
@pytest.mark.parametrize('more', [[], ODD], ids=['as documented', 'with blanks'])
def test_a_tool_is_started_with_all_words_as_given(script, more):
    launcher = 'pytorch' if script.startswith('dist') else 'slurm'
    assert launched(f'tools/{script}.sh', [*FIRST[script], *more])[1] == [*TAKEN[script], '--launcher', launcher, *more]


def test_slurm_train_takes_a_work_dir_as_elsewhere_in_openmmlab():
    for more in ([], ['--amp']):
        _, given = launched('tools/slurm_train.sh', ['P', 'J', 'C', '/x/my run', *more])
        assert given == ['C', '--launcher', 'slurm', '--work-dir', '/x/my run', *more]


@pytest.mark.parametrize('script', FIRST)
def test_too_few_words_are_a_usage_error(script):
    done = subprocess.run(['bash', TOOLS / f'{script}.sh', *FIRST[script][:-1]], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith('usage: ')


SRUN = """#!/bin/bash
printf '%s\\n' "$*" >> "$CALLS"
exit "$(sed -n "$(wc -l < "$CALLS")p" <<< "$STATUSES")"
"""


@pytest.mark.parametrize(
    ('requeue', 'statuses', 'resumed', 'status'),
    [
        ('1', [75, 75, 0], [False, True, True], 0),
        ('1', [75, 1], [False, True], 1),
        ('1', [143], [False], 143),
        ('', [75], [False], 75),
    ],
)
def test_a_preempted_job_is_queued_again(tmp_path, requeue, statuses, resumed, status):
    (tmp_path / 'srun').write_text(SRUN)
    (tmp_path / 'srun').chmod(0o755)
    environment = dict(REQUEUE=requeue, STATUSES='\n'.join(map(str, statuses)), CALLS=str(tmp_path / 'calls'))
    environment = os.environ | environment | dict(PATH=f'{tmp_path}:{os.environ["PATH"]}')
    words = ['bash', TOOLS / 'slurm_train.sh', 'P', 'J', 'C', '--cfg-options', 'a=b c']
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == status
    calls = (tmp_path / 'calls').read_text().splitlines()
    assert [call.endswith(' --cfg-options a=b c --resume') for call in calls] == resumed
    assert all('--kill-on-bad-exit=1' in call and '--launcher slurm' in call for call in calls)
    assert done.stderr.count('queued again') == len(statuses) - 1
