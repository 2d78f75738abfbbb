"""Settings of datasets that their library would misread."""

import pytest
from mmengine.config import ConfigDict

from mixmae_mm.engine.checks.coco import CocoFile
from mixmae_mm.engine.checks.datasets import open_dataset
from mixmae_mm.engine.checks.settings import name_findings, settings_findings

QUOTED = """write them in quotes: "...classes=('01','02')" on the command line, ['01', '02'] in a config"""


def found(kind, **settings):
    """What is wrong with the settings of a dataset of this type."""
    settings = ConfigDict(type=kind, data_root='nowhere') | ConfigDict(settings)
    return [finding[:3] for finding in settings_findings(settings, open_dataset(settings, 'mmengine'))]


def test_class_names_are_a_list_of_strings():
    assert list(name_findings(('cat', '01'))) == list(name_findings(None)) == list(name_findings([])) == []
    strings = [('error', 'class names that are not strings', QUOTED, name) for name in ('1', '2.5')]
    assert list(map(tuple, name_findings([1, 'cat', 2.5]))) == strings
    assert [tuple(one[:3]) for one in name_findings(3)] == [('error', 'classes must be a list of names, got 3', QUOTED)]


def test_class_names_are_checked_even_if_the_dataset_cannot_be_opened():
    settings = ConfigDict(type='none.Dataset', metainfo=dict(classes=[1, 2]))
    assert [finding.case for finding in settings_findings(settings, None)] == ['1', '2']


def test_names_of_categories_in_json():
    data = dict(images=[], annotations=[], categories=[dict(id=1, name=1), dict(id=2, name='cat'), dict(id=3)])
    file = CocoFile('x.json', data)
    assert [one.case for one in file.findings() if one.what == 'class names that are not strings'] == ['1']
    assert [one.case for one in file.compare_classes(['cat'])] == ['1', 'None']


@pytest.mark.parametrize('kind', ['mmpretrain.CustomDataset', 'mixmae_mm.ImageFolder'])
def test_extensions_that_would_be_read_letter_by_letter(kind):
    pytest.importorskip('mmpretrain', reason='named in configs, not needed by the package')
    what = "extensions must be a list like ['.npy'], with one dot, got '.png'"
    assert found(kind, extensions='.png') == [('error', what, 'set extensions=[.png] of the dataset')]
    assert found(kind, extensions=['.png']) == []
