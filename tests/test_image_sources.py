"""Every file that holds images has its row, with a license, in docs/images/SOURCES.md, and every row its file."""

import re
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / 'docs/images/SOURCES.md'
ROW = re.compile(r'^\| `([^`]+)` \| (.+) \| (.+) \| (.+) \| (.+) \|$', re.MULTILINE)
LICENSES = {'Apache-2.0', 'CC0-1.0', 'public domain'}
CONTAINERS = {'.mp4', '.npy', '.npz', '.pt', '.pth', '.safetensors', '.svg', '.tar', '.zip'}
EMBEDDED = re.compile(r'"image/[\w+.-]+": |data:image/')
ROWS = ROW.findall(SOURCES.read_text())


def files_below(root):
    """List the files of a clone, or of a copy without git's records all that .gitignore does not name."""
    git = shutil.which('git')
    done = git and subprocess.run([git, 'ls-files', '-z'], cwd=root, capture_output=True, text=True)
    if done and done.returncode == 0 and done.stdout:
        return [name for name in done.stdout.split('\0') if (root / name).is_file()]
    return walked(root)


def walked(root):
    """List the files below a folder that its .gitignore does not name."""
    ignored = [line for line in (root / '.gitignore').read_text().splitlines() if line.endswith('/')]
    names = [path.relative_to(root) for path in root.rglob('*') if path.is_file()]
    return [name.as_posix() for name in names if not any(leads_to(line, name) for line in ['.git/', *ignored])]


def leads_to(line, name):
    """Return whether a file lies in a folder that a line of .gitignore names: at the top, or anywhere."""
    folders = name.parts[:1] if line.startswith('/') else name.parts
    return any(fnmatch(folder, line.strip('/')) for folder in folders)


def holds_images(root, name):
    """Tell by its extension, or what is embedded in it, whether a file holds images."""
    path = root / name
    if path.suffix.lower() in CONTAINERS | set(Image.registered_extensions()):
        return True
    return path.suffix in ('.ipynb', '.md', '.html') and bool(EMBEDDED.search(path.read_text()))


def test_every_image_has_its_row_and_every_row_its_file():
    held = {name for name in files_below(ROOT) if holds_images(ROOT, name)}
    assert held == {row[0] for row in ROWS}
    assert len(ROWS) == len(held)


@pytest.mark.parametrize('row', ROWS, ids=lambda row: row[0])
def test_every_row_names_licenses_that_let_us_publish(row):
    assert set(row[3].split(', ')) <= LICENSES


def test_what_is_drawn_below_is_told_there():
    commands = SOURCES.read_text().split('## The commands')[1]
    assert all(Path(row[0]).name in commands for row in ROWS if row[4].endswith('below'))


def test_images_are_found_without_git_wherever_they_lie(tmp_path):
    ours = ['a.PNG', 'docs/b.svg', 'tests/data/c.npy', 'book.ipynb', 'page.html']
    others = ['data/d.png', 'work_dirs/run/e.jpg', '.venv/f.gif', 'tests/__pycache__/g.png', '.git/h.png']
    for name in [*ours, *others, 'plain.ipynb']:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / 'book.ipynb').write_text('{"data": {"image/png": "iVBO"}}')
    (tmp_path / 'page.html').write_text('<img src="data:image/jpeg;base64,AA">')
    (tmp_path / 'plain.ipynb').write_text('{"cells": []}')
    (tmp_path / '.gitignore').write_text((ROOT / '.gitignore').read_text())
    found = files_below(tmp_path)
    assert {name for name in found if holds_images(tmp_path, name)} == set(ours)
