"""README and docs: their paths exist, and the Python of how-it-works.md prints what it says."""

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]
NAMED_PATH = re.compile(r'(?<![\w/.])((?:configs|tools|mixmae_mm|tests|docs)/[\w./*{},-]*[\w*/])')
READERS_OWN = ('configs/mixmae/mine.py',)


@cache
def repository():
    """List the files and folders of the repository, without what was built here; None where git cannot tell."""
    listed = subprocess.run(['git', 'ls-files'], cwd=ROOT, capture_output=True, text=True)
    files = {Path(name) for name in listed.stdout.splitlines()}
    return None if listed.returncode else files | {folder for file in files for folder in file.parents}


def exists(path):
    return (ROOT / path).exists() and (repository() is None or Path(path) in repository())


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_every_path_and_image_of_a_page_exists(page):
    named = {path for path in NAMED_PATH.findall(page.read_text()) if not set(path) & set('*{')}
    missing = [path for path in named - set(READERS_OWN) if not exists(path)]
    assert not missing
    shown = re.findall(r'!\[[^]]*\]\(([^)]+)\)', page.read_text())
    assert all((page.parent / image).exists() for image in shown)


def test_the_ten_lines_print_what_they_say(capsys):
    blocks = re.findall(r'```python\n(.*?)```', (ROOT / 'docs/how-it-works.md').read_text(), re.DOTALL)
    exec(blocks[0], {})
    printed = capsys.readouterr().out.splitlines()
    assert printed == ['[(1, 96, 50, 75), (1, 192, 25, 38), (1, 384, 13, 19), (1, 768, 7, 10)]', '(1, 768, 7, 7)']
