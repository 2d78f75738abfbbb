"""Every file that holds images has its row, with a license, in docs/images/SOURCES.md, and every row its file."""

import re
import shutil
import subprocess
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
    """List the files of a clone."""
    git = shutil.which('git')
    done = git and subprocess.run([git, 'ls-files', '-z'], cwd=root, capture_output=True, text=True)
    if not done or done.returncode or not done.stdout:
        pytest.skip('needs a clone')
    return [name for name in done.stdout.split('\0') if (root / name).is_file()]


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


def test_what_is_drawn_below_is_named_there():
    commands = SOURCES.read_text().split('## The commands')[1]
    assert all(Path(row[0]).name in commands for row in ROWS if row[4].endswith('below'))
