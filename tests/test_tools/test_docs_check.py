"""Every command and all Python of README and docs/ are known and can work; the walk-through runs."""

import json
import re
from pathlib import Path

import docs_check
import pytest
import python_running
import run_notebook
from commands import Command, ReadError, commands_of, pages, python_of, read

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize('page', pages(), ids=lambda page: page.name)
def test_commands_and_python_of_a_page_can_work(page):
    """`make docs-check` runs the commands as well. Python runs with small models in place of a reader's."""
    rows = docs_check.check_commands(commands_of(page), None)
    assert not [f'{command.page} {command.text}: {why}' for command, _, why in rows if why]
    assert not list(python_running.run_page(page))


def test_python_that_does_not_run_is_reported(tmp_path):
    page = tmp_path / 'page.md'
    blocks = ["import os\nos.listdir('nowhere')", 'train_cfg = dict(max_epohs=1)', 'x = 1', 'assert x == 2']
    page.write_text(''.join(f'```python\n{block}\n```\n' for block in blocks))
    wrong = list(python_running.run_page(page))
    assert [text.split(': ')[:2] for text in wrong] == [
        ['page.md:2', 'FileNotFoundError'], ['page.md:6', 'ValueError'], ['page.md:12', 'AssertionError']
    ]  # fmt: skip
    assert 'max_epohs' in wrong[1]
    assert 'max_epochs' in wrong[1]


@pytest.mark.parametrize(
    ('text', 'why'),
    [
        ('python tools/nowhere.py', 'there is no tools/nowhere.py'),
        ('python tools/test.py CONFIG CHECKPOINT.pth --bets', 'unrecognized arguments: --bets'),
        ('python tools/train.py configs/nowhere.py', 'configs/nowhere.py'),
        ('python tools/train.py CONFIG --cfg-options modell.backbone.arch=tiny', 'modell'),
        ('python -m mixmae_mm.doktor', 'there is no module mixmae_mm.doktor'),
        ('mixmae pretrian DATA', 'there is no command pretrian. Did you mean pretrain?'),
        ('make tests', "No rule to make target 'tests'"),
        ('make bench ARGS="mixmae --repeat-s 7"', 'unrecognized arguments: --repeat-s'),
        ('tools/dist_train.sh CONFIG', 'usage: '),
        ('tools/dist_train.sh CONFIG 8 --bets', 'unrecognized arguments: --bets'),
        ('tools/slurm_train.sh PARTITION JOB configs/nowhere.py', 'configs/nowhere.py'),
    ],
)
def test_a_command_that_cannot_work_is_reported(text, why):
    with pytest.raises(ReadError, match=re.escape(why)):
        read(Command('page.md', text))


def test_commands_are_found_where_they_stand(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text(
        'Say `make test` or `make`, `config.py`.\n\n'
        '    python tools/train.py \\\n        CONFIG  # a remark\n    error: no\n\n'
        '```bash\n$ A=1 tools/dist_train.sh CONFIG 8\n```\n```python\nmake = 1\n```\n'
    )
    assert {found[1:] for found in commands_of(page)} == {
        ('make test', True),
        ('python tools/train.py CONFIG', False),
        ('A=1 tools/dist_train.sh CONFIG 8', False),
    }
    assert python_of(page) == [(11, 'make = 1\n')]


NUMBER = re.compile(r'-?\d+\.?\d*')
WALK = ROOT / 'docs/walkthrough.ipynb'


def test_the_walk_through_runs_and_prints_what_is_stored():
    walk = json.loads(WALK.read_text())
    assert WALK.stat().st_size < 300_000
    for cell, fresh in zip(run_notebook.code_cells(walk), run_notebook.run(walk), strict=True):
        stored = cell['outputs']
        assert [output['output_type'] for output in fresh] == [output['output_type'] for output in stored]
        for one, other in zip(fresh, stored, strict=True):
            texts = [''.join(of.get('text', of.get('data', {}).get('text/plain', ''))) for of in (one, other)]
            assert NUMBER.sub('#', texts[0]) == NUMBER.sub('#', texts[1])
            numbers = [[float(number) for number in NUMBER.findall(text)] for text in texts]
            assert numbers[0] == pytest.approx(numbers[1], abs=0.101)


def test_a_cell_that_fails_fails_the_notebook():
    cells = [dict(cell_type='code', source=['x = 1\n', 'x']), dict(cell_type='code', source=['assert x == 2'])]
    assert run_notebook.run(dict(cells=cells[:1]))[0][0]['data'] == {'text/plain': ['1']}
    with pytest.raises(AssertionError):
        run_notebook.run(dict(cells=cells))
