"""COCO's JSON with one thing wrong, which is named alone."""

import sys

import pytest
from small_datasets import cells, check, coco, coco_data

pytest.importorskip('pycocotools', reason='pycocotools comes with requirements/dense.txt')
FILE = 'annotations/instances_train.json'


def objects(**changes):
    """Return the first object other values."""
    return lambda data: data['annotations'][0].update(changes)


def image(**changes):
    return lambda data: data['images'][1].update(changes)


def every_object(**changes):
    return lambda data: [entry.update(changes) for entry in data['annotations']]


def code(entry, **changes):
    """Return an object's run-length code other values."""
    return lambda data: data['annotations'][entry]['segmentation'].update(changes)


def without(key, name, entry=0):
    return lambda data: data[key][entry].pop(name)


def again(key):
    return lambda data: data[key].append(data[key][0])


INCOMPLETE = 'error: train: entries of the JSON that lack something, or have something of another type there'
POLYGON = 'error: train: polygons that cannot be read: 1 (annotation 0: '
CODE = 'error: train: run-length codes that cannot be read: 1 '
BOX = 'error: train: boxes that are not four finite numbers: 1 (annotation 0: '
LACKS = f"error: train: the JSON lacks what COCO's has: 1 ({FILE}: no "
SMALL = 'boxes with a width or height of 0 or less: 1 (annotation 0: '
HARM = {
    'no annotations key': (lambda data: data.pop('annotations'), f'{LACKS}annotations)'),
    'images are no list': (lambda data: data.update(images={}), f'{LACKS}images)'),
    'an object without box': (without('annotations', 'bbox'), f'{INCOMPLETE}: 1 (annotations id 0: bbox)'),
    'an object without area': (without('annotations', 'area'), f'{INCOMPLETE}: 1 (annotations id 0: area)'),
    'an entry of text': (lambda data: data['images'].append('c'), f"{INCOMPLETE}: 1 (images 'c': not a dictionary)"),
    'an image without width': (
        lambda data: data['images'].append(dict(id=3, file_name='c.jpg', width='48', height=32)),
        f'{INCOMPLETE}: 1 (images id 3: width)',
    ),
    'an image twice': (again('images'), 'error: train: ids that are there more than once: 1 (images id 1)'),
    'an object twice': (again('annotations'), 'error: train: ids that are there more than once: 1 (annotations id 0)'),
    'a category twice': (again('categories'), 'error: train: ids that are there more than once: 1 (categories id 7)'),
    'no objects': (lambda data: data.update(annotations=[]), 'error: train: no annotations at all'),
    'an unknown image': (
        objects(image_id=5),
        'error: train: annotations of images that the JSON does not name: 1 (annotation 0: image 5)',
    ),
    'an unknown category': (
        objects(category_id=8),
        'error: train: annotations of unknown categories: 1 (annotation 0: category 8)',
    ),
    'a missing file': (
        image(file_name='x.jpg'),
        'error: train: files that are missing: 1 (images/train/x.jpg)',
    ),
    'a box of three numbers': (objects(bbox=[1, 2, 3]), f'{BOX}[1, 2, 3])'),
    'a box with NaN': (objects(bbox=[1, 2, 3, float('nan')]), f'{BOX}[1, 2, 3, nan])'),
    'a box with a text': (objects(bbox=[1, 2, 3, '4']), f"{BOX}[1, 2, 3, '4'])"),
    'boxes in shares': (
        every_object(bbox=[0, 0.5, 1, 1]),
        'error: train: all boxes lie between 0 and 1',
    ),
    'a flat box': (objects(bbox=[5, 5, 4, 0]), f'warning: train: {SMALL}[5, 5, 4, 0] in 48 x 32)'),
    'two corners': (objects(bbox=[9, 9, -4, 3]), f'warning: train: {SMALL}[9, 9, -4, 3] in 48 x 32)'),
    'a small box': (
        objects(bbox=[5, 5, 4, 0.5]),
        'warning: train: boxes less than one pixel wide or high: 1 (annotation 0: [5, 5, 4, 0.5] in 48 x 32)',
    ),
    'a box on the right': (
        objects(bbox=[48, 5, 4, 4]),
        'error: train: boxes outside their image: 1 (annotation 0: [48, 5, 4, 4] in 48 x 32)',
    ),
    'a box above': (
        objects(bbox=[5, -4, 4, 4]),
        'error: train: boxes outside their image: 1 (annotation 0: [5, -4, 4, 4] in 48 x 32)',
    ),
    'a box that sticks out': (
        objects(bbox=[5, 5, 4, 28.5]),
        'warning: train: boxes that stick out of their image by more than a pixel: '
        '1 (annotation 0: [5, 5, 4, 28.5] in 48 x 32)',
    ),
    'no area': (objects(area=0), 'warning: train: objects with an area of 0 or less: 1 (annotation 0)'),
    'no outlines': (every_object(segmentation=[]), 'warning: train: no object has a segmentation'),
    'one outline less': (
        objects(segmentation=[]),
        'error: train: objects without segmentation among those with one: 1 (annotation 0)',
    ),
    'a bare polygon': (objects(segmentation=[1, 2, 3, 4, 5, 6]), f'{POLYGON}[1, 2, 3, 4, 5, 6] is no list of lists)'),
    'an outline of text': (objects(segmentation='abc'), f"{POLYGON}'abc' is no list of lists)"),
    'an odd polygon': (objects(segmentation=[[1, 2, 3, 4, 5, 6, 7]]), f'{POLYGON}7 numbers)'),
    'an empty polygon': (objects(segmentation=[[]]), f'{POLYGON}0 numbers)'),
    'a polygon of texts': (objects(segmentation=[['1', 2, 3, 4, 5, 6]]), f'{POLYGON}not all are finite numbers)'),
    'a polygon far away': (objects(segmentation=[[1, 2, 3, 4, 5, 1e9]]), f'{POLYGON}coordinate 1e+09 in 48 x 32)'),
    'a polygon of two corners': (
        objects(segmentation=[[1, 2, 3, 4]]),
        'warning: train: polygons of less than three corners: 1 (annotation 0)',
    ),
    'a broken code': (code(1, counts='0@@@@@'), f'{CODE}(annotation 1)'),
    'a code of too few pixels': (code(2, counts=[0, 5]), f'{CODE}(annotation 2)'),
    'a code of negative runs': (code(2, counts=[-5, 5, 48 * 32]), f'{CODE}(annotation 2)'),
    'a code without counts': (code(1, counts=None), f'{CODE}(annotation 1)'),
    'a code of another size': (
        code(1, size=[48, 32]),
        'error: train: run-length codes of another size than their image: '
        '1 (annotation 1: [48, 32] for an image 32 high and 48 wide)',
    ),
}


def test_nothing_is_said_of_what_is_right(tmp_path, capsys):
    coco(tmp_path)
    for options in ((), ('--kind', 'coco')):
        status, problems, text = check(capsys, tmp_path, *options)
        assert (status, problems, cells(text)) == (0, [], [['train', '2', '0', '3', '0', '2', '2']])


@pytest.mark.parametrize('name', HARM)
def test_one_wrong_thing_in_the_json_is_named_alone(tmp_path, capsys, name):
    harm, problem = HARM[name]
    data = coco_data()
    harm(data)
    coco(tmp_path, data)
    status, problems, _ = check(capsys, tmp_path)
    assert problems == [problem]
    assert status == problem.startswith('error')


@pytest.mark.parametrize('width', [40, 56])
def test_another_size_than_the_json_says(tmp_path, capsys, width):
    data = coco_data()
    image(width=width)(data)
    data['annotations'] = data['annotations'][:2]
    coco(tmp_path, data)
    said = f'images of another size than the JSON says: 1 (images/train/b.jpg: 48 x 32, said to be {width} x 32)'
    for options in ((), ('--quick',)):
        assert check(capsys, tmp_path, *options)[:2] == (1, [f'error: train: {said}'])


def test_quick_leaves_codes_folded(tmp_path, capsys):
    data = coco_data()
    code(1, counts='0@@@@@')(data)
    coco(tmp_path, data)
    assert check(capsys, tmp_path, '--quick')[:2] == (0, [])


def test_without_pycocotools(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pycocotools', None)
    coco(tmp_path)
    assert check(capsys, tmp_path)[:2] == (0, ['warning: train: segmentations were not tried'])


@pytest.mark.parametrize('content', ['', '{"images": [', '\x00'])
def test_a_json_that_is_cut_off(tmp_path, capsys, content):
    coco(tmp_path)
    (tmp_path / FILE).write_text(content)
    status, (problem,), _ = check(capsys, tmp_path)
    assert status == 1
    assert problem.startswith(f'error: train: the JSON cannot be read: 1 ({FILE}: ')


def test_coco_2017_is_known_by_its_name(tmp_path, capsys):
    coco(tmp_path)
    (tmp_path / FILE).rename(tmp_path / 'annotations/instances_train2017.json')
    (tmp_path / 'images/train').rename(tmp_path / 'train2017')
    where = 'where COCO 2017 has'
    assert check(capsys, tmp_path)[1] == [
        f'error: train2017: 2 images, {where} 118,287 in instances_train2017.json',
        f'error: train2017: 2 categories, {where} 80 in instances_train2017.json',
    ]


def test_other_places_of_the_json(tmp_path, capsys):
    coco(tmp_path / 'a')
    (tmp_path / 'a' / FILE).rename(tmp_path / 'x.json')
    files = ('--ann', tmp_path / 'x.json', '--images', tmp_path / 'a/images/train')
    status, problems, text = check(capsys, *files)
    assert (status, problems, cells(text)[0][0]) == (0, [], 'x')
    status, problems, _ = check(capsys, *files[:3], tmp_path / 'gone')
    assert (status, problems) == (1, [f'error: x: no such folder: 1 ({tmp_path}/gone)'])
    (tmp_path / 'x.json').rename(tmp_path / 'a/images/train/_annotations.coco.json')
    assert check(capsys, tmp_path / 'a/images')[:2] == (0, [])
