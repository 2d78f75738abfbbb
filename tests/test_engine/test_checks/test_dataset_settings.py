"""Settings of datasets that their library would misread, or that nothing reads."""

import pytest
from mmengine.config import Config, ConfigDict
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS

from mixmae_mm.engine.checks import check_config
from mixmae_mm.engine.checks.coco import CocoFile
from mixmae_mm.engine.checks.datasets import open_dataset
from mixmae_mm.engine.checks.settings import name_findings, prefixes_read, settings_findings

QUOTED = """write them in quotes: "...classes=('01','02')" on the command line, ['01', '02'] in a config"""
SEGMENTATION, DETECTION = 'mmseg.BaseSegDataset', 'mmdet.CocoDataset'


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


COCO = 'CocoDataset reads img and seg'
SEG = 'BaseSegDataset reads img_path and seg_map_path'
CUSTOM = 'CustomDataset reads img_path'


@pytest.mark.dense
@pytest.mark.parametrize(
    ('kind', 'right', 'wrong', 'severity', 'reads', 'advice'),
    [
        (DETECTION, ('img', 'seg'), 'image', 'error', COCO, 'set data_prefix.img instead'),
        (DETECTION, (), 'img_path', 'error', COCO, 'set data_prefix.img instead'),
        (DETECTION, (), 'folder', 'warning', COCO, 'leave it out, or set one of these'),
        (SEGMENTATION, ('img_path', 'seg_map_path'), 'img', 'error', SEG, 'set data_prefix.img_path instead'),
        (SEGMENTATION, (), 'SEG_MAP_PATH', 'error', SEG, 'set data_prefix.seg_map_path instead'),
        ('mmpretrain.CustomDataset', ('img_path',), 'img', 'error', CUSTOM, 'set data_prefix.img_path instead'),
    ],
)
def test_keys_of_data_prefix_that_nothing_reads(kind, right, wrong, severity, reads, advice):
    pytest.importorskip('mmcv._ext', reason='needs mmcv with compiled ops')
    pytest.importorskip(kind.partition('.')[0], reason='the dense requirements are not installed')
    prefix = dict.fromkeys(right, 'train')
    assert found(kind, data_prefix=prefix) == []
    what = f'nothing reads data_prefix.{wrong}: {reads}'
    assert found(kind, data_prefix=prefix | {wrong: 'train'}) == [(severity, what, advice)]


def test_a_folder_of_images_under_another_key(tmp_path):
    pytest.importorskip('mmpretrain', reason='named in configs, not needed by the package')
    dataset = dict(type='mmpretrain.CustomDataset', data_root=str(tmp_path), data_prefix=dict(img='train'))
    config = Config(dict(train_dataloader=dict(dataset=dataset)))
    with pytest.raises(
        ValueError, match=r'^train: nothing reads data_prefix\.img: .*: set data_prefix\.img_path instead'
    ):
        check_config(config, ['train']).refuse()


def test_keys_of_metainfo_that_nothing_reads():
    pytest.importorskip('mmpretrain', reason='named in configs, not needed by the package')

    def faults(**metainfo):
        return found('mmpretrain.CustomDataset', metainfo=metainfo)

    assert faults(classes=('a', 'b'), palette=[(0, 0, 0)] * 2, thing_classes=(), mine=1) == []
    what = 'nothing reads metainfo.{} of a CustomDataset'
    for name, severity in (('CLASSES', 'error'), ('class_names', 'warning')):
        assert faults(**{name: ('a', 'b')}) == [(severity, what.format(name), 'set metainfo.classes instead')]
    assert faults(Palette=[]) == [('error', what.format('Palette'), 'set metainfo.palette instead')]


def test_nothing_is_known_of_what_others_wrote():
    pytest.importorskip('mmpretrain', reason='named in configs, not needed by the package')
    assert prefixes_read(BaseDataset) == prefixes_read(DATASETS.get('mmpretrain.MultiLabelDataset')) == set()
    mine = type('Mine', (DATASETS.get('mmpretrain.CustomDataset'),), dict(__module__='mine'))
    DATASETS.register_module(module=mine, force=True)
    assert found('Mine', data_prefix=dict(img_path='a', img='b'), metainfo=dict(CLASSES=('a', 'b'))) == []


def test_nothing_is_known_of_a_library_without_its_source(monkeypatch):
    kind = DATASETS.get('mmdet.CocoDataset')
    assert prefixes_read(kind) == {'img', 'seg'}
    monkeypatch.setattr('linecache.getlines', lambda *_: [])
    assert prefixes_read(kind) == set()
