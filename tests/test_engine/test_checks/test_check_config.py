"""Configs are compared with the folders, lists and JSON files that they name; nothing else is opened."""

import importlib.util
import json
import re
import shutil
from pathlib import Path

import pytest
from mmengine.config import Config, ConfigDict

from mixmae_mm.engine.checks import check_config
from mixmae_mm.engine.checks.empty import empty_reason

CONFIGS = Path(__file__).parents[3] / 'configs'
CLASSIFICATION = CONFIGS / 'classification/mixmim-swin-micro-scratch_1xb64-coslr-10e_materials-64px.py'
DETECTION = CONFIGS / 'detection/mask-rcnn_mixmim-swin-micro-scratch_fpn_1xb16-20e_materials276-64px.py'
NAMES = ('cat', 'cow', 'dog')
OBJECT = dict(bbox=[1, 1, 8, 8], area=64, iscrowd=0, segmentation=[[1, 1, 9, 1, 9, 9]])
SPLITS = ('train', 'val', 'test')
HEAD = 'model.head.num_classes'


@pytest.fixture
def root(tmp_path):
    for split in SPLITS:
        for name in NAMES:
            image = tmp_path / split / name / 'a.jpg'
            image.parent.mkdir(parents=True)
            image.touch()
    return tmp_path


def problems(root, *splits, config=CLASSIFICATION, without=(), **settings):
    """Return severity, split and text of problems, with these settings, and without some settings of the datasets."""
    config = Config.fromfile(config)
    places = {f'{split}_dataloader.dataset.data_root': str(root) for split in SPLITS}
    if config.default_scope == 'mmpretrain':
        places |= {f'{split}_dataloader.dataset.data_prefix': split for split in SPLITS}
        settings = {HEAD: 3} | settings
    config.merge_from_dict(places | settings)
    for split in SPLITS:
        for name in without:
            config[f'{split}_dataloader'].dataset.pop(name)
    report = check_config(config, splits or ('train', 'val'))
    return [(problem.severity, problem.split, problem.text()) for problem in report.problems()]


def for_each_split(**settings):
    return {f'{split}_dataloader.dataset.{key}': value for split in SPLITS for key, value in settings.items()}


@pytest.mark.parametrize('name', ['.ipynb_checkpoints', '__MACOSX', '@eaDir'])
def test_a_sound_config_with_a_hidden_folder(root, name):
    (root / 'train' / name).mkdir()
    assert problems(root) == problems(root, 'test') == []


def test_a_split_without_the_first_folder_is_refused_but_one_that_is_not_read_is_a_warning(root):
    shutil.rmtree(root / 'test' / 'cat')
    assert {severity for severity, *_ in problems(root)} == {'warning'}
    shutil.rmtree(root / 'val' / 'cat')
    for splits in (('train', 'val'), ('test',)):
        (severity, where, text), *_ = problems(root, *splits)
        assert (severity, where) == ('error', f'train, {splits[-1]}')
        assert 'cat (only in train)' in text


def test_class_folders_that_hold_the_classes(root):
    for place in ('pets/cat', 'pets/dog', 'farm/cow'):
        (root / 'pen/train' / place).mkdir(parents=True)
    assert any('2 class folders, which hold the 3 folders' in one[2] for one in problems(root / 'pen', 'train'))


@pytest.mark.parametrize(
    ('settings', 'severity', 'where', 'words'),
    [
        ({HEAD: 2}, 'error', 'train, val', f'3 classes, where {HEAD} is 2'),
        ({HEAD: 10}, 'warning', 'train, val', f'3 classes, where {HEAD} is 10'),
        ({'model.data_preprocessor.num_classes': 5}, 'error', 'config', 'model.data_preprocessor.num_classes=5, '),
        (
            {'val_evaluator': dict(type='mmpretrain.SingleLabelMetric', num_classes=2)},
            'error',
            'train, val',
            '3 classes, where val_evaluator.mmpretrain.SingleLabelMetric.num_classes is 2',
        ),
        (
            for_each_split(**{'metainfo.classes': NAMES[::-1]}),
            'error',
            'train',
            'label 0 is cat in folders of train and dog in metainfo',
        ),
        (
            for_each_split(**{'metainfo.classes': [1, 2]}),
            'error',
            'train',
            'class names that are not strings: 2 (1, 2)',
        ),
        ({'train_dataloader.dataset.metainfo.classes': [1, 2, 3]}, 'error', 'train', 'not strings: 3 (1, 2, 3)'),
        ({'train_dataloader.dataset.metainfo.classes': 'cat'}, 'error', 'train', "classes=('nucleus',)"),
        ({'train_dataloader.dataset.data_prefix': ''}, 'error', 'train', 'named like splits: 3 (test, train, val)'),
    ],
)
def test_classes_that_do_not_agree(root, settings, severity, where, words):
    assert any(one[:2] == (severity, where) and words in one[2] for one in problems(root, **settings))


def test_a_list_with_labels_out_of_range_and_lines_without_one(root):
    (root / 'list.txt').write_text('cat/a.jpg 0\ncow/a.jpg 3\ndog/a.jpg\n\ncat/a.jpg  1\n')
    found = problems(root, **{'train_dataloader.dataset.ann_file': 'list.txt'})
    assert {(severity, where) for severity, where, _ in found} == {('error', 'train'), ('warning', 'train')}
    assert any('labels outside 0 to 2, for 3 classes: 1 (label 3)' in text for *_, text in found)
    assert any('"name label": 3 (dog/a.jpg, a blank line, cat/a.jpg  1)' in text for *_, text in found)
    assert '2 of 3 classes have an image' in found[-1][2]


def test_labels_in_json(root):
    data = [dict(img_path='cat/a.jpg', gt_label=label) for label in ([0, 1], [2], [3])]
    (root / 'list.json').write_text(json.dumps(dict(metainfo=dict(classes=NAMES), data_list=data)))
    settings = for_each_split(type='mmpretrain.MultiLabelDataset', ann_file='list.json')
    (one, _) = problems(root, without=['extensions'], **settings)
    assert one[:2] == ('error', 'train')
    assert 'labels outside 0 to 2, for 3 classes: 1 (label 3)' in one[2]


@pytest.fixture
def coco(tmp_path):
    """Return a function that writes COCO JSON of two images and three objects, the last two with changes."""
    pytest.importorskip('mmdet', reason='the dense requirements are not installed')

    def write(name, categories=NAMES, drop=(), annotations=3, **changes):
        objects = [dict(OBJECT, id=i, image_id=i % 2, category_id=i % 3 + 1) for i in range(annotations)]
        objects[1:] = [one | changes for one in objects[1:]]
        data = dict(
            images=[dict(id=i, file_name=f'{name}{i}.jpg', width=64, height=64) for i in range(2)],
            categories=[dict(id=number, name=one) for number, one in enumerate(categories, 1)],
            annotations=[{key: value for key, value in one.items() if key not in drop} for one in objects],
        )
        (tmp_path / f'{name}.json').write_text(json.dumps(data))

    for name in ('train', 'val'):
        write(name)
    return write


def detection(root, *splits, **settings):
    """Return problems of the detection config with other classes."""
    own = {'val_evaluator.ann_file': f'{root}/val.json', 'model.roi_head.bbox_head.num_classes': 3}
    own['model.roi_head.mask_head.num_classes'] = 3
    for split in SPLITS:
        own[f'{split}_dataloader.dataset.ann_file'] = f'{"train" if split == "train" else "val"}.json'
        own[f'{split}_dataloader.dataset.metainfo.classes'] = NAMES
    return problems(root, *splits, config=DETECTION, **(own | settings))


BOXES = {'model.type': 'mmdet.FasterRCNN', 'model.roi_head.mask_head': None}


@pytest.mark.dense
def test_boxes_need_no_outlines(tmp_path, coco):
    assert detection(tmp_path) == []
    for name in ('train', 'val'):
        coco(name, drop=('segmentation',))
    boxes = BOXES | {
        'val_evaluator.metric': 'bbox',
        'train_dataloader.dataset.pipeline': [dict(type='mmdet.LoadAnnotations', with_bbox=True)],
        'val_dataloader.dataset.pipeline': [],
    }
    assert detection(tmp_path, **boxes) == []


@pytest.mark.dense
@pytest.mark.parametrize(
    ('changes', 'severity', 'words'),
    [
        (dict(categories=('cat', 'cwo', 'dog')), 'error', r'that the JSON does not have: 1 \(cow\)'),
        (dict(categories=('dog', 'cow', 'cat')), 'error', 'label 0 is dog in the JSON and cat in the config'),
        (dict(annotations=0), 'error', 'no annotations'),
        (dict(category_id=9), 'warning', '2 of 3 annotations of .*/val.json have an unknown category_id'),
        (dict(image_id=9), 'warning', '2 of 3 annotations of .*/val.json have an unknown image_id'),
        *(
            (dict(drop=(field,)), 'error', f"'{field}' is missing in 3 of 3 annotations of .*/val.json")
            for field in ('area', 'segmentation', 'iscrowd', 'category_id')
        ),
    ],
)
def test_annotations_that_do_not_fit(tmp_path, coco, changes, severity, words):
    coco('val', **changes)
    found = detection(tmp_path)
    assert any(one[:2] == (severity, 'val') and re.search(words, one[2]) for one in found), found


@pytest.mark.dense
@pytest.mark.parametrize(
    ('key', 'wrong', 'right'), [('image_id', '0', '"images", such as 0'), ('category_id', 0, '"categories", such as 1')]
)
def test_annotations_that_are_all_left_out(tmp_path, coco, key, wrong, right):
    data = json.loads((tmp_path / 'train.json').read_text())
    for one in data['annotations']:
        one[key] = wrong
    (tmp_path / 'train.json').write_text(json.dumps(data))
    (text,) = [text for severity, *_, text in detection(tmp_path, 'train') if severity == 'error']
    assert text == (
        f'train: 3 of 3 annotations of {tmp_path}/train.json have an unknown {key}, and are left out. '
        f'What to do: write ids of {right}, in place of {wrong!r}; or delete them.'
    )


@pytest.mark.dense
def test_what_leaves_a_filtered_set_empty_is_named(tmp_path, coco):
    coco('train', category_id=9)
    data = json.loads((tmp_path / 'train.json').read_text())
    data['annotations'][0]['image_id'] = '0'
    (tmp_path / 'train.json').write_text(json.dumps(data))
    settings = dict(
        type='mmdet.CocoDataset',
        ann_file='train.json',
        data_root=str(tmp_path),
        data_prefix=dict(img=''),
        metainfo=dict(classes=NAMES),
    )
    reason = empty_reason(ConfigDict(settings, filter_cfg=dict(filter_empty_gt=True)), 'mmdet')
    assert reason.startswith("filter_cfg={'filter_empty_gt': True} keeps none of 2 images: ")
    assert '1 of 3 annotations of ' in reason
    assert '2 of 3 annotations of ' in reason
    assert 'unknown category_id, and are left out (write ids of "categories", such as 1, in place of 9' in reason


HEADS = 'model.roi_head.{}_head.num_classes'


@pytest.mark.dense
@pytest.mark.parametrize(
    ('settings', 'words'),
    [
        (BOXES, "val_evaluator: CocoMetric is asked for 'segm', but the model gives boxes only"),
        ({'val_evaluator.ann_file': '{root}/train.json'}, 'reads {root}/train.json, which lacks images or'),
        ({'val_evaluator.ann_file': '{root}/gone.json'}, 'CocoMetric reads {root}/gone.json, which does not exist'),
        ({HEADS.format('mask'): 80}, f'{HEADS.format("bbox")}=3, {HEADS.format("mask")}=80'),
        # of a class that is not in the JSON the metric looks for the category, after an epoch of training
        ({HEADS.format(one): 80 for one in ('bbox', 'mask')}, f'3 classes, where {HEADS.format("bbox")} is 80'),
        ({'train_dataloader.dataset.ann_file': 'torn.json'}, '{root}/torn.json is not valid JSON'),
        ({'train_dataloader.dataset.ann_file': 'list.json'}, "{root}/list.json is not in COCO's format"),
    ],
)
def test_detectors_and_files_that_do_not_fit(tmp_path, coco, settings, words):
    (tmp_path / 'torn.json').write_text('{"images": [')
    (tmp_path / 'list.json').write_text('[]')
    settings = {key: value.format(root=tmp_path) if key.endswith('file') else value for key, value in settings.items()}
    texts = [text for severity, *_, text in detection(tmp_path, **settings) if severity == 'error']
    assert any(words.format(root=tmp_path) in text for text in texts), texts


SAVE_BEST = 'default_hooks.checkpoint.save_best'
NO_VALIDATION = {f'val_{name}': None for name in ('dataloader', 'cfg', 'evaluator')}


@pytest.mark.parametrize(
    ('settings', 'text'),
    [
        ({'val_evaluator.topk': (1, 5)}, 'Accuracy is asked for top-5 of 3 classes'),
        ({SAVE_BEST: 'accuracy/top5'}, "save_best waits for 'accuracy/top5', which val_evaluator does not report"),
        ({SAVE_BEST: 'top1'}, "waits for 'top1'"),
        (NO_VALIDATION | {SAVE_BEST: 'auto'}, 'nothing is validated'),
        ({'custom_hooks': [dict(type='EarlyStoppingHook', monitor='loss')]}, "monitor waits for 'loss'"),
        ({'val_dataloader.dataset.with_label': False}, 'images without labels'),
    ],
)
def test_metrics_that_cannot_be_computed(root, settings, text):
    assert [severity for severity, _, line in problems(root, **settings) if text in line] == ['error']


def test_metrics_that_are_given_may_be_waited_for(root):
    metrics = [dict(type='mmpretrain.Accuracy'), dict(type='mmpretrain.SingleLabelMetric')]
    for name in ('auto', ['accuracy/top1', 'single-label/f1-score']):
        assert problems(root, **{'val_evaluator': metrics, SAVE_BEST: name}) == []


def test_shipped_configs_have_nothing_wrong(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # without their data
    dense = importlib.util.find_spec('mmdet') is not None
    folders = ['classification', *(['detection', 'segmentation'] if dense else [])]
    for path in (path for folder in folders for path in sorted((CONFIGS / folder).glob('*.py'))):
        assert [problem.text() for problem in check_config(Config.fromfile(path)).problems()] == [], path
