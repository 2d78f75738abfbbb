"""The launchers, run with stand-ins for srun and Python that write down what they are given."""

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
