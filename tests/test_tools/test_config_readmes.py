"""README.md of each config folder: as its metafile has it, and as the generator writes it."""

import re

import pytest
from config_readmes import CONFIGS, readmes, status

PAGES = pytest.mark.parametrize('path', readmes(), ids=lambda path: path.parent.name)


@PAGES
def test_it_is_as_the_generator_writes_it_and_lists_each_config_once(path):
    text = path.read_text()
    assert text == readmes()[path], 'run tools/docs/config_readmes.py'
    listed = re.findall(r'^\| \[.*?\]\((.*?)\)', text, re.MULTILINE)
    assert sorted(listed) == sorted(config.name for config in path.parent.glob('*.py'))
    links = re.findall(r'\]\(([^)]+)\)', text)
    assert [link for link in links if not link.startswith('https://') and not (path.parent / link).is_file()] == []
    assert any(link.startswith('https://arxiv.org/abs/') for link in links)


def test_every_folder_of_configs_has_one():
    folders = {path.parent for path in CONFIGS.rglob('*.py') if '_base_' not in path.parts}
    assert {path.parent for path in readmes()} == folders


@pytest.mark.parametrize(
    ('metrics', 'source', 'expected'),
    [
        ({'Reported mIoU': 50.3}, 'the paper; not run here', 'reported by the paper: mIoU 50.3'),
        ({'box AP': 24.0, 'mask AP': 21.3}, 'a run', 'measured: box AP 24.0, mask AP 21.3 (a run)'),
        ({'mIoU': 50.3}, 'docs/results.md', 'measured: mIoU 50.3 ([results](../../docs/results.md))'),
        ({}, 'nothing', 'untuned'),
    ],
)
def test_a_result_stands_with_its_source(metrics, source, expected):
    results = [dict(Metrics={name: value}) for name, value in metrics.items()]
    assert status(dict(Metadata={'Source of Results': source}, Results=results)) == expected
