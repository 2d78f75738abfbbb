"""CITATION.cff, CONTRIBUTING and CHANGELOG say what is true of the package."""

import re
from pathlib import Path

import yaml

import mixmae_mm

ROOT = Path(__file__).parents[1]
CITATION = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
README = (ROOT / 'README.md').read_text()


def test_the_version_is_said_alike():
    assert CITATION['version'] == mixmae_mm.__version__
    assert re.search(rf'^## \[.*{re.escape(mixmae_mm.__version__)}', (ROOT / 'CHANGELOG.md').read_text(), re.MULTILINE)


def test_the_readme_is_short_and_says_once_what_has_never_run():
    assert len(README.splitlines()) < 135
    assert README.count('GPU, and no full-size model') == 1
    assert len((ROOT / 'CONTRIBUTING.md').read_text().splitlines()) < 60
