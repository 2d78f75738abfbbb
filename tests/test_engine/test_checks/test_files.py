"""Files and masks of datasets, looked at before a run."""

import json

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.dataset import BaseDataset, ConcatDataset, RepeatDataset
from mmengine.registry import DATASETS, init_default_scope
from PIL import Image
from torch.utils.data import TensorDataset

from mixmae_mm.engine.checks.files import check_files, empty_reason

pytestmark = pytest.mark.dense


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


def test_masks_of_other_classes(settings, tmp_path):
    check_files('train', DATASETS.build(settings), 4)
    with pytest.raises(ValueError, match=r'masks/.*png has label 3, where the model has 3 classes, 0 to 2'):
        check_files('train', DATASETS.build(settings), 3)
    reduced = dict(settings, reduce_zero_label=True)  # 3 becomes 2
    check_files('train', DATASETS.build(reduced), 3)


def test_masks_with_another_suffix(settings):
    with pytest.raises(ValueError, match=r'train: none of the 40 files looked for is there.*0_m.png.*seg_map_suffix'):
        check_files('train', DATASETS.build(dict(settings, seg_map_suffix='_m.png')), 4)


def test_images_with_another_suffix(settings, tmp_path):
    reason = empty_reason(ConfigDict(settings, img_suffix='.jpg'), 'mmseg')
    assert all(word in reason for word in ("img_suffix='.jpg'", f'{tmp_path}/images', '40 files (40 .png)'))
    assert empty_reason(settings, 'mmseg') is None


@pytest.mark.parametrize(('noted', 'fits'), [((9, 6), True), ((6, 9), False), ((18, 12), False)])
def test_sizes_in_json_are_those_of_the_images(tmp_path, noted, fits):
    pytest.importorskip('mmdet', reason='the dense requirements are not installed')
    Image.fromarray(np.zeros((6, 9, 3), np.uint8)).save(tmp_path / '0.png')
    image = dict(id=0, file_name='0.png', width=noted[0], height=noted[1])
    (tmp_path / 'all.json').write_text(json.dumps(dict(images=[image], annotations=[], categories=[])))
    init_default_scope('mmdet')
    try:
        dataset = DATASETS.build(
            dict(
                type='mmdet.CocoDataset',
                ann_file=str(tmp_path / 'all.json'),
                data_prefix=dict(img=f'{tmp_path}/'),
                pipeline=[dict(type='LoadImageFromFile')],
            )
        )
        if fits:
            check_files('train', dataset, None)
        else:
            with pytest.raises(ValueError, match=f'0.png has 9 x 6 pixels.*, and {noted[0]} x {noted[1]} in '):
                check_files('train', dataset, None)
    finally:
        init_default_scope('mmengine')


class Skipping(BaseDataset):
    """As ours, which count what cannot be read while they read it."""

    corrupt = ()

    def load_data_list(self):
        return [dict(img_path='gone.png')]


def test_only_datasets_of_others_with_a_list_are_looked_at():
    check_files('train', Skipping(), None)
    check_files('train', TensorDataset(torch.ones(2)), None)
    plain = type('Plain', (BaseDataset,), dict(load_data_list=Skipping.load_data_list))()
    for dataset in (plain, ConcatDataset([Skipping(), plain]), RepeatDataset(plain, 2)):
        with pytest.raises(ValueError, match=r"train: none of the 1 files looked for is there, such as 'gone.png'"):
            check_files('train', dataset, None)
