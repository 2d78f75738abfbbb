"""README.md of each config folder: as its metafile has it, and as the generator writes it."""

import re

import pytest
from config_readmes import CONFIGS, readmes

PAGES = pytest.mark.parametrize('path', readmes(), ids=lambda path: path.parent.name)


@PAGES
def test_it_is_as_the_generator_writes_it_and_lists_each_config_once(path):
    text = path.read_text()
    assert text == readmes()[path], 'run tools/docs/config_readmes.py'
    listed = re.findall(r'^\| \[.*?\]\((.*?)\)', text, re.MULTILINE)
    assert sorted(listed) == sorted(config.name for config in path.parent.glob('*.py'))
    links = re.findall(r'\]\(([^)]+)\)', text)
    places = [link.partition('#')[0] for link in links if not link.startswith('https://')]
    assert [place for place in places if not (path.parent / place).is_file()] == []
    assert any(link.startswith('https://arxiv.org/abs/') for link in links)


def test_every_folder_of_configs_has_one():
    folders = {path.parent for path in CONFIGS.rglob('*.py') if '_base_' not in path.parts}
    assert {path.parent for path in readmes()} == folders
