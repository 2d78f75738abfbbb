"""Files, sizes and masks of datasets, checked before a run."""

import json
import random

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.dataset import BaseDataset, ConcatDataset, RepeatDataset
from mmengine.registry import DATASETS, init_default_scope
from PIL import Image
from torch.utils.data import TensorDataset

from mixmae_mm.engine.checks.empty import empty_reason
from mixmae_mm.engine.checks.loaders import file_findings


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
def test_masks_of_other_classes_and_files_with_another_suffix(settings, tmp_path):
    def cases(num_classes, **changes):
        return [finding.case for finding in file_findings(DATASETS.build(dict(settings, **changes)), num_classes)]

    assert cases(4) == cases(3, reduce_zero_label=True) == []  # 3 becomes 2
    (reason,) = {case.partition(': ')[2] for case in cases(3)}
    assert reason == 'the mask has label 3, but classes are 0 to 2'
    (finding,) = file_findings(DATASETS.build(dict(settings, seg_map_suffix='_m.png')), 4)
    assert 'none of the 40 expected files' in finding.what
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
    init_default_scope('mmdet')
    try:
        places = dict(ann_file=str(tmp_path / 'all.json'), data_prefix=dict(img=f'{tmp_path}/'))
        pipeline = [dict(type='LoadImageFromFile')]
        found = list(file_findings(DATASETS.build(dict(type='mmdet.CocoDataset', pipeline=pipeline, **places)), None))
    finally:
        init_default_scope('mmengine')
    assert len(found) == (not fits)
    assert all('0.png: 9 x 6' in one.case and f'annotated as {noted[0]} x {noted[1]}' in one.case for one in found)


class Skipping(BaseDataset):
    """A dataset like ours, which counts corrupt files as it reads them."""

    corrupt = ()

    def load_data_list(self):
        return [dict(img_path='gone.png')]


def test_only_datasets_of_others_with_a_list_are_looked_at():
    assert list(file_findings(Skipping(), None)) == list(file_findings(TensorDataset(torch.ones(2)), None)) == []
    plain = type('Plain', (BaseDataset,), dict(load_data_list=Skipping.load_data_list))()
    for dataset in (plain, ConcatDataset([Skipping(), plain]), RepeatDataset(plain, 2)):
        (finding,) = file_findings(dataset, None)
        assert "none of the 1 expected files exists, such as 'gone.png'" in finding.what


def test_looking_draws_no_random_numbers(tmp_path):
    Image.new('RGB', (9, 6)).save(tmp_path / '0.png')
    sample = dict(img_path=str(tmp_path / '0.png'), width=9, height=6)
    kind = type('Sized', (BaseDataset,), dict(load_data_list=lambda self: [sample]))
    dataset = kind(pipeline=[dict(type='mixmae_mm.LoadRandomResizedCrop', scale=8)])
    before = random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()
    assert list(file_findings(dataset, None)) == []
    assert before == (random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist())
