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


def test_papers_are_cited_as_in_the_readme():
    assert len(CITATION['references']) == 2
    for paper in CITATION['references']:
        assert {'type', 'title', 'authors', 'year', 'identifiers'} <= paper.keys()
        (entry,) = [entry for entry in README.split('@inproceedings')[1:] if paper['title'] in entry]
        names = [f'{author["given-names"]} {author["family-names"]}' for author in paper['authors']]
        fields = dict(re.findall(r'(\w+) = {([^}]*)}', entry))
        assert fields == dict(
            author=' and '.join(names),
            title=paper['title'],
            year=str(paper['year']),
            booktitle='CVPR',
            note=paper['identifiers'][0]['value'],
        )


def test_the_readme_is_short_and_says_once_what_has_never_run():
    assert len(README.splitlines()) < 135
    assert README.count('GPU, and no full-size model') == 1
    assert len((ROOT / 'CONTRIBUTING.md').read_text().splitlines()) < 60
