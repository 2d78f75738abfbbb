"""Files, sizes and masks of datasets, looked at before a run."""

import json

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.dataset import BaseDataset, ConcatDataset, RepeatDataset
from mmengine.registry import DATASETS, init_default_scope
from PIL import Image
from torch.utils.data import TensorDataset

from mixmae_mm.engine.checks.loaders import empty_reason, file_findings
from mixmae_mm.engine.checks.samples import FITS_BOTH, OTHER_SIZE, TURNED, Header, size_findings, turns_images


@pytest.fixture
def settings(tmp_path):
    """Settings of a dataset of 40 images with masks of labels 0 to 3, and 255."""
    pytest.importorskip('mmcv._ext', reason='needs mmcv with compiled ops')
    pytest.importorskip('mmseg', reason='the dense requirements are not installed')
    for number in range(40):
        for place in (f'images/{number}.png', f'masks/{number}.png'):
            (tmp_path / place).parent.mkdir(exist_ok=True)
            Image.fromarray(np.array([[0, 1], [3, 255]], np.uint8)).save(tmp_path / place)
    init_default_scope('mmseg')
    yield ConfigDict(
        type='mmseg.BaseSegDataset',
        data_root=str(tmp_path),
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        img_suffix='.png',
        metainfo=dict(classes=('a', 'b', 'c', 'd')),
        pipeline=[dict(type='mmseg.LoadAnnotations')],
    )
    init_default_scope('mmengine')


@pytest.mark.dense
def test_masks_of_other_classes(settings):
    def cases(**changes):
        return [finding.case for finding in file_findings(DATASETS.build(dict(settings, **changes)), 3)]

    assert cases() == []
    assert {case[-7:] for case in cases(metainfo=dict(classes=('a', 'b', 'c')))} == {'.png: 3'}
    assert cases(metainfo=dict(classes=('a', 'b', 'c')), reduce_zero_label=True) == []  # 3 becomes 2


@pytest.mark.dense
def test_files_with_another_suffix(settings, tmp_path):
    (finding,) = file_findings(DATASETS.build(dict(settings, seg_map_suffix='_m.png')), 4)
    assert 'none of the 40 files looked for' in finding.what
    assert ('0_m.png' in finding.what, 'seg_map_suffix' in finding.advice) == (True, True)
    reason = empty_reason(ConfigDict(settings, img_suffix='.jpg'), 'mmseg')
    assert all(word in reason for word in ("img_suffix='.jpg'", f'{tmp_path}/images', '40 files (40 .png)'))
    assert empty_reason(settings, 'mmseg') is None


@pytest.mark.dense
@pytest.mark.parametrize(('noted', 'fits'), [((9, 6), True), ((6, 9), False), ((18, 12), False)])
def test_sizes_in_json_are_those_of_the_images(tmp_path, noted, fits):
    pytest.importorskip('mmdet', reason='the dense requirements are not installed')
    Image.fromarray(np.zeros((6, 9, 3), np.uint8)).save(tmp_path / '0.png')
    image = dict(id=0, file_name='0.png', width=noted[0], height=noted[1])
    (tmp_path / 'all.json').write_text(json.dumps(dict(images=[image], annotations=[], categories=[])))
    prefix = dict(img=f'{tmp_path}/')
    dataset = DATASETS.build(dict(type='mmdet.CocoDataset', ann_file=str(tmp_path / 'all.json'), data_prefix=prefix))
    case = f'{tmp_path}/0.png: 9 x 6, noted as {noted[0]} x {noted[1]}'
    assert list(file_findings(dataset, None)) == [OTHER_SIZE.at(case)] * (not fits)


class Skipping(BaseDataset):
    """As ours, which count what cannot be read while they read it."""

    corrupt = ()

    def load_data_list(self):
        return [dict(img_path='gone.png')]


def test_only_datasets_of_others_with_a_list_are_looked_at():
    assert list(file_findings(Skipping(), None)) == list(file_findings(TensorDataset(torch.ones(2)), None)) == []
    plain = type('Plain', (BaseDataset,), dict(load_data_list=Skipping.load_data_list))()
    for dataset in (plain, ConcatDataset([Skipping(), plain]), RepeatDataset(plain, 2)):
        (finding,) = file_findings(dataset, None)
        assert "none of the 1 files looked for is there, such as 'gone.png'" in finding.what


@pytest.mark.parametrize(
    ('step', 'turns'),
    [
        (dict(), True),
        (dict(color_type='grayscale'), True),
        (dict(imdecode_backend='pillow'), True),
        (dict(color_type='unchanged'), False),
        (dict(color_type='color_ignore_orientation'), False),
        (dict(imdecode_backend='tifffile'), False),
    ],
)
def test_whether_a_pipeline_turns_images_is_known(step, turns):
    assert turns_images([dict(type='mixmae_mm.SeedSample'), dict(type='mmdet.LoadImageFromFile', **step)]) == turns


@pytest.mark.parametrize('turns', [True, False])
def test_labels_against_turned_images(turns):
    wide, tall, square = (48, 32), (32, 48), (32, 32)
    header = Header(wide, tall, 6)
    read, other = (wide, tall) if turns else (tall, wide)
    assert list(size_findings('a', header, read, turns)) == []
    assert list(size_findings('a', header, other, turns)) == [TURNED[turns].at('a: orientation 6')]
    case = f'a: {read[0]} x {read[1]}, noted as 32 x 32'
    assert list(size_findings('a', header, square, turns)) == [OTHER_SIZE.at(case)]
    upside_down = Header(square, square, 3)
    assert list(size_findings('a', upside_down, square, turns)) == [FITS_BOTH.at('a: orientation 3')]
    assert list(size_findings('a', Header(square, square), square, turns)) == []
