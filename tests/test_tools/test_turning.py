"""Labels against images that EXIF data turn: said where they lie apart or may, and only there."""

import importlib

import numpy as np
import pytest
from mmengine.config import ConfigDict
from PIL import Image
from small_datasets import check, coco, coco_data, mask, masks
from tool_loading import load_tool

load_tool('dataset_tools/check_dataset.py')  # which puts the checks where they can be imported from
turning = importlib.import_module('dataset_checks.turning')
OF_THE_SET = 'no annotations at all', 'segmentations were not tried'
SQUARE, WIDE, TALL = (32, 32), (48, 32), (32, 48)


def turned(path, orientation, size):
    """An image of `size` as stored."""
    data = Image.Exif()
    data[0x0112] = orientation
    Image.fromarray(np.zeros((*size[::-1], 3), np.uint8)).save(path, exif=data)


def expected(orientation, stored, labels):
    """What is to be said of labels for (width, height), by hand."""
    upright = stored[::-1] if orientation >= 5 else stored
    if labels == upright:
        return None if orientation == 1 or stored != upright else turning.UNKNOWN[True].what
    return turning.FOR_STORED.what if labels == stored else 'of another size than'


def said(problems, what):
    return len(problems) == 1 and what in problems[0] if what else problems == []


@pytest.mark.parametrize('orientation', range(10))
@pytest.mark.parametrize(('stored', 'labels'), [(SQUARE, SQUARE), (WIDE, WIDE), (TALL, WIDE)])
def test_boxes_and_masks_of_turned_images(tmp_path, capsys, orientation, stored, labels):
    known = orientation if 1 <= orientation <= 8 else 1  # 0 and 9 are no orientations: the image is upright
    what = expected(known, stored, labels)
    data = coco_data()
    data['annotations'] = []
    data['images'] = [dict(id=1, file_name='a.jpg', width=labels[0], height=labels[1])]
    coco(tmp_path / 'coco', data)
    turned(tmp_path / 'coco/images/train/a.jpg', orientation, stored)
    masks(tmp_path / 'masks')
    turned(tmp_path / 'masks/img_dir/val/c.jpg', orientation, stored)
    mask(tmp_path / 'masks/ann_dir/val/c.png', size=labels)
    for folder, where in (('coco', 'images/train/a.jpg'), ('masks', '')):
        for options in ((), ('--quick',)):
            status, problems, _ = check(capsys, tmp_path / folder, *options)
            problems = [problem for problem in problems if not problem.endswith(OF_THE_SET)]
            assert said(problems, what), (problems, what)
            assert where in ''.join(problems) or not problems
            assert status == any(problem.startswith('error') for problem in problems) or folder == 'coco'


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
def test_what_a_config_reads_is_known(step, turns):
    pipeline = [dict(type='mixmae_mm.SeedSample'), dict(type='mmdet.LoadImageFromFile', **step)]
    assert turning.turns_images(ConfigDict(pipeline=pipeline)) == turns


def test_readers_that_leave_the_orientation_alone():
    seen = turning.Seen(WIDE, TALL, 6)
    other = turning.FOR_STORED, 'neither'
    found = [list(turning.size_findings('a', seen, labels, False, other)) for labels in (TALL, WIDE, SQUARE)]
    assert found == [[], [(turning.FOR_UPRIGHT, 'a: orientation 6')], [other]]
    square = turning.Seen(SQUARE, SQUARE, 3)
    ((fault, case),) = turning.size_findings('a', square, SQUARE, False, other)
    assert (fault, case) == (turning.UNKNOWN[False], 'a: orientation 3')
