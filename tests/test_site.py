"""The site of docs/ builds without a warning, stands alone, and every link in it has an end."""

import importlib.util
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec('mkdocstrings') is None, reason='needs pip install -r requirements/docs.txt'
)


class Links(HTMLParser):
    """Where a page's links lead, what it loads, and the anchors that it has."""

    def __init__(self, page):
        super().__init__()
        self.links, self.loads, self.anchors = [], [], set()
        self.feed(page.read_text())

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.anchors |= {attrs.get('id'), attrs.get('name')}
        if tag == 'a' and attrs.get('href'):
            self.links.append(attrs['href'])
        elif tag in ('img', 'script', 'link'):
            self.loads += [attrs[name] for name in ('src', 'href') if attrs.get(name)]


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp('site')
    command = [sys.executable, '-m', 'mkdocs', 'build', '--strict', '--site-dir', str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return {page.relative_to(out).as_posix(): Links(page) for page in out.rglob('*.html')}, out


def test_every_link_has_an_end_and_nothing_is_loaded_from_elsewhere(site):
    pages, out = site
    lost = []
    for page, found in pages.items():
        assert not [url for url in found.loads if urlsplit(url).netloc]
        for target in [*found.links, *found.loads]:
            parts = urlsplit(target)
            if page == '404.html' or parts.scheme:
                continue
            path = ((out / page).parent / unquote(parts.path) if parts.path else out / page).resolve()
            other = pages.get(path.relative_to(out).as_posix()) if path.suffix == '.html' else None
            if not path.exists() or (parts.fragment and other and parts.fragment not in other.anchors):
                lost.append((page, target))
    assert not lost


def test_every_public_module_has_its_page_with_its_functions(site):
    pages, _ = site
    modules = {path.stem for path in (ROOT / 'mixmae_mm').glob('[!_]*.py')}
    modules |= {path.parent.name for path in (ROOT / 'mixmae_mm').glob('*/__init__.py')}
    assert {Path(page).stem for page in pages if page.startswith('api/')} == modules
    assert 'mixmae_mm.mixing.unmix' in pages['api/mixing.html'].anchors
    assert 'mixmae_mm.mixing._choose' not in pages['api/mixing.html'].anchors


def test_readme_is_the_start_page_and_its_links_stay_in_the_site(site):
    pages, out = site
    assert 'Pre-train on your own folder' in (out / 'index.html').read_text()
    assert {'results.html', 'weights.html', 'files/LICENSE'} <= {*pages['index.html'].links}
    assert (out / 'files/LICENSE').read_text() == (ROOT / 'LICENSE').read_text()
