"""README and docs: their Python runs, their paths exist, their messages are ours."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]
NAMED_PATH = re.compile(r'(?<![\w/.])((?:configs|tools|mixmae_mm|tests|docs)/[\w./*{},-]*[\w*/])')
READERS_OWN = ('configs/mixmae/mine.py',)


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_every_path_that_a_page_names_exists(page):
    named = {path for path in NAMED_PATH.findall(page.read_text()) if not set(path) & set('*{')}
    missing = [path for path in named - set(READERS_OWN) if not (ROOT / path).exists()]
    assert not missing


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_every_picture_that_a_page_shows_exists(page):
    shown = re.findall(r'!\[[^]]*\]\(([^)]+)\)', page.read_text())
    assert all((page.parent / picture).exists() for picture in shown)


def test_the_python_of_the_readme_prints_what_it_says(capsys):
    blocks = re.findall(r'```python\n(.*?)```', (ROOT / 'README.md').read_text(), re.DOTALL)
    exec(blocks[0], {})
    printed = capsys.readouterr().out.splitlines()
    assert printed == [
        '[(1, 96, 50, 75), (1, 192, 25, 38), (1, 384, 13, 19), (1, 768, 7, 10)]',
        '(1, 768, 7, 7)',
    ]


def test_the_messages_under_troubleshooting_are_ours():
    code = ''.join(path.read_text() for path in (ROOT / 'mixmae_mm').rglob('*.py'))
    assert 'images cannot be split into groups of' in code
    assert 'operator torchvision::nms does not exist' in code
    assert ' does not go with this ' in code
