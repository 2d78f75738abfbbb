"""The site of docs/ builds without a warning (of links and anchors, too), and stands alone."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec('mkdocstrings') is None, reason='needs pip install -r requirements/docs.txt'
)


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp('site')
    command = [sys.executable, '-m', 'mkdocs', 'build', '--strict', '--site-dir', str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def test_nothing_is_loaded_from_elsewhere_and_linked_files_are_there(site):
    for page in site.rglob('*.html'):
        text = page.read_text()
        assert not re.findall(r'<(?:img|script|link)[^>]+(?:src|href)="(?:https?:)?//', text)
        linked = re.findall(r'href="((?:\.\./)*files/[^"#]+)"', text)
        assert not [name for name in linked if not (page.parent / name).exists()]


def test_every_public_module_has_its_page_with_its_functions(site):
    modules = {path.stem for path in (ROOT / 'mixmae_mm').glob('[!_]*.py')}
    modules |= {path.parent.name for path in (ROOT / 'mixmae_mm').glob('*/__init__.py')}
    assert {page.stem for page in (site / 'api').glob('*.html')} == modules
    mixing = (site / 'api/mixing.html').read_text()
    assert 'id="mixmae_mm.mixing.unmix"' in mixing
    assert 'id="mixmae_mm.mixing._choose"' not in mixing


def test_readme_is_the_start_page_and_its_links_stay_in_the_site(site):
    start = (site / 'index.html').read_text()
    assert 'Pre-train on your own folder' in start
    assert all(f'href="{name}"' in start for name in ('results.html', 'weights.html', 'files/LICENSE'))
    assert (site / 'files/LICENSE').read_text() == (ROOT / 'LICENSE').read_text()
