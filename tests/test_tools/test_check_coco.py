"""COCO's JSON with one thing wrong, which is named alone."""

import importlib

import pytest
from small_datasets import cells, check, coco, coco_data, image
from tool_loading import load_tool

pytest.importorskip('pycocotools', reason='pycocotools comes with requirements/dense.txt')
load_tool('dataset_tools/check_dataset.py')  # which puts the checks where they can be imported from
samples = importlib.import_module('dataset_checks.samples')
FILE = 'annotations/instances_train.json'


def objects(**changes):
    """Change the first object."""
    return lambda data: data['annotations'][0].update(changes)


def every_object(**changes):
    return lambda data: [entry.update(changes) for entry in data['annotations']]


def code(entry, **changes):
    """Change an object's run-length code."""
    return lambda data: data['annotations'][entry]['segmentation'].update(changes)


def without(key, name):
    return lambda data: data[key][0].pop(name)


def again(key):
    return lambda data: data[key].append(data[key][0])


def without_image(data):
    data['images'][1].update(file_name='x.jpg')


BOX = 'boxes that are not four finite numbers: 1 (annotation 0: '
POLYGON = 'polygons that cannot be read: 1 (annotation 0: '
CODE = 'run-length codes that do not fit their image: 1 (annotation '
SMALL = 'boxes less than one pixel wide or high: 1 (annotation 0: '
OUTSIDE = 'boxes outside their image: 1 (annotation 0: '
HARM = {
    'no annotations key': (lambda data: data.pop('annotations'), 'error', f"/{FILE} is not in COCO's format"),
    'an entry of text': (lambda data: data['images'].append('c'), 'error', f"/{FILE} is not in COCO's format"),
    'an object without box': (without('annotations', 'bbox'), 'error', "'bbox' is missing in 1 of 3 annotations of "),
    'an image without width': (without('images', 'width'), 'error', "'width' is missing in 1 of 2 images of "),
    'an image twice': (again('images'), 'error', 'ids that occur more than once: 1 (images id 1)'),
    'no objects': (lambda data: data.update(annotations=[]), 'error', 'no annotations at all'),
    'an unknown image': (objects(image_id=5), 'warning', '1 of 3 annotations of '),
    'an unknown category': (objects(category_id=8), 'warning', '1 of 3 annotations of '),
    'a missing file': (without_image, 'error', 'files that are missing: 1 (images/train/x.jpg)'),
    'a box with NaN': (objects(bbox=[1, 2, 3, float('nan')]), 'error', f'{BOX}[1, 2, 3, nan] in 48 x 32)'),
    'a box with a text': (objects(bbox=[1, 2, 3, '4']), 'error', f"{BOX}[1, 2, 3, '4'] in 48 x 32)"),
    'boxes in shares': (every_object(bbox=[0, 0, 1, 1]), 'error', 'all boxes lie between 0 and 1'),
    'a small box': (objects(bbox=[5, 5, 4, 0.5]), 'warning', f'{SMALL}[5, 5, 4, 0.5] in 48 x 32)'),
    'two corners': (objects(bbox=[9, 9, -4, 3]), 'warning', f'{SMALL}[9, 9, -4, 3] in 48 x 32)'),
    'a box on the right': (objects(bbox=[48, 5, 4, 4]), 'error', f'{OUTSIDE}[48, 5, 4, 4] in 48 x 32)'),
    'a box that sticks out': (objects(bbox=[5, 5, 4, 28.5]), 'warning', 'image by more than a pixel: 1 '),
    'no area': (objects(area=0), 'warning', 'objects whose area is not above 0: 1 (annotation 0)'),
    'no outlines': (every_object(segmentation=[]), 'warning', 'no object has a segmentation'),
    'one outline less': (objects(segmentation=[]), 'error', 'among those with one: 1 (annotation 0)'),
    'a bare polygon': (objects(segmentation=[1, 2, 3, 4, 5, 6]), 'error', f'{POLYGON}[1, 2, 3, 4, 5, 6])'),
    'an odd polygon': (objects(segmentation=[[1, 2, 3, 4, 5, 6, 7]]), 'error', f'{POLYGON}[[1, 2, 3, 4, 5, 6, 7]])'),
    'a polygon far away': (objects(segmentation=[[1, 2, 3, 4, 5, 1e9]]), 'error', POLYGON),
    'a broken code': (code(1, counts='0@@@@@'), 'error', f'{CODE}1: '),
    'a code of too few pixels': (code(2, counts=[0, 5]), 'error', f'{CODE}2: '),
    'a code of another size': (code(1, size=[48, 32]), 'error', f'{CODE}1: '),
}


def test_nothing_is_said_of_what_is_right(tmp_path, capsys):
    coco(tmp_path)
    for options in ((), ('--layout', 'coco'), ('--quick',)):
        status, problems, text = check(capsys, tmp_path, *options)
        assert (status, problems, cells(text)) == (0, [], [['train', '2', '0', '3', '2', '2']])


@pytest.mark.parametrize('name', HARM)
def test_one_wrong_thing_in_the_json_is_named_alone(tmp_path, capsys, name):
    harm, severity, words = HARM[name]
    data = coco_data()
    harm(data)
    coco(tmp_path, data)
    status, (problem,), _ = check(capsys, tmp_path)
    assert problem.startswith(f'{severity}: train: ')
    assert words in problem
    assert status == (severity == 'error')


@pytest.mark.parametrize('options', [(), ('--quick',)])
@pytest.mark.parametrize(
    ('stored', 'orientation', 'noted', 'words'),
    [
        ((48, 32), None, (40, 32), 'images whose size differs from their annotations'),
        ((48, 32), 6, (48, 32), 'labels that fit images as stored, but the readers rotate these'),
        ((48, 32), 6, (32, 48), None),
        ((48, 32), 9, (48, 32), None),  # no orientation: the image is upright
        ((32, 32), 3, (32, 32), 'labels whose size fits both with and without it'),
    ],
)
def test_sizes_of_the_json_and_of_turned_images(tmp_path, capsys, stored, orientation, noted, words, options):
    data = coco_data()
    data['images'] = [dict(id=1, file_name='a.jpg', width=noted[0], height=noted[1])]
    data['annotations'] = [data['annotations'][0] | dict(bbox=[2, 3, 4, 5], segmentation=[[2, 3, 4, 5, 6, 7]])]
    coco(tmp_path, data)
    image(tmp_path / 'images/train/a.jpg', stored, orientation)
    _, problems, _ = check(capsys, tmp_path, *options)
    assert len(problems) == (words is not None)
    assert all(words in one and '1 (images/train/a.jpg: ' in one for one in problems)


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


@pytest.mark.parametrize(
    ('step', 'turns'),
    [({}, True), (dict(color_type='color_ignore_orientation'), False), (dict(imdecode_backend='tifffile'), False)],
)
def test_whether_a_pipeline_turns_images_is_known(step, turns):
    assert samples.turns_images([dict(type='X'), dict(type='mmdet.LoadImageFromFile', **step)]) == turns


def test_labels_against_images_that_are_read_as_stored():
    header = samples.Header(upright=(48, 32), stored=(32, 48), orientation=6)
    assert list(samples.size_findings('a', header, (32, 48), turns=False)) == []
    found = list(samples.size_findings('a', header, (48, 32), turns=False))
    assert found == [samples.TURNED[False].at('a: orientation 6')]
