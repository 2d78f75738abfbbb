"""The command line: what the loaders of our configs would read, JSON, wrong arguments."""

import json
from pathlib import Path

import pytest
from forked import Program
from micro_training import finish
from small_datasets import cells, check, class_folders, coco_data, image, mask, masks
from tool_loading import TOOLS, load_tool

SCRIPT = str(TOOLS / 'dataset_tools/check_dataset.py')
DENSE = 'needs mmdet and mmseg'
OTHER = 'classes that are not in all splits'
CONFIGS = Path(__file__).parents[2] / 'configs'
DETECTION = CONFIGS / 'detection/mask-rcnn_mixmim-swin-base_fpn_1xb2-amp-ms-1x_custom.py'
SEGMENTATION = CONFIGS / 'segmentation/upernet_mixmim-swin-base_1xb4-amp-40k_custom.py'
CLASSIFICATION = CONFIGS / 'classification/vit-micro-p8_1xb64-coslr-10e_imagenette-96px.py'


def test_the_custom_config_of_detection(tmp_path, capsys):
    pytest.importorskip('mmcv._ext', reason=DENSE)
    for split in ('train', 'val'):
        (tmp_path / f'{split}.json').write_text(json.dumps(coco_data()))
    for name in 'ab':
        image(tmp_path / f'images/{name}.jpg')
    roots = [f'{split}_dataloader.dataset.data_root={tmp_path}/' for split in ('train', 'val', 'test')]
    command = ('--config', DETECTION, '--cfg-options', *roots)
    status, problems, text = check(capsys, *command)
    assert (status, problems) == (0, [])
    numbers = ['2', '0', '3', '0', '2', '2']
    assert cells(text) == [['train', *numbers], ['val,', 'test', *numbers]]
    assert check(capsys, *command, 'train_dataloader.dataset.metainfo.classes=("cat", "cow")')[:2] == (
        1,
        [
            'error: train: classes of the config that the JSON does not have: 1 (cow)',
            f'error: train, val, test: {OTHER}: 2 (cow (only in train), dog (only in val, test))',
            'warning: train: categories that the config does not name, and that are left out: 1 (dog)',
            'warning: train: 1 of 2 classes have an image',
        ],
    )
    (tmp_path / 'val.json').unlink()
    assert check(capsys, *command)[:2] == (1, [f'error: val, test: files that are missing: 1 ({tmp_path}/val.json)'])


def test_the_custom_config_of_segmentation(tmp_path, capsys):
    pytest.importorskip('mmcv._ext', reason=DENSE)
    for split in ('train', 'val'):
        image(tmp_path / f'images/{split}/a.jpg')
        mask(tmp_path / f'masks/{split}/a.png', (0, 1, 1, 255))
    roots = [f'{split}_dataloader.dataset.data_root={tmp_path}' for split in ('train', 'val', 'test')]
    command = ('--config', SEGMENTATION, '--cfg-options', *roots)
    status, problems, text = check(capsys, *command)
    assert (status, problems) == (0, [])
    assert [row[:3] for row in cells(text)] == [['train', '1', '1'], ['val,', 'test', '1']]
    mask(tmp_path / 'masks/val/a.png', (0, 1, 2))
    status, problems, _ = check(capsys, *command)
    where = f'1 ({tmp_path}/masks/val/a.png: 2)'
    assert problems == [f'error: val, test: masks with labels other than 0 to 1 for 2 classes, and 255: {where}']
    reduced = [f'{x.split("=")[0][:-9]}reduce_zero_label=True' for x in roots]
    status, problems, text = check(capsys, *command, *reduced)
    never = 'classes of 2 that no pixel has: 1 (label 2)'
    assert (status, problems) == (0, [f'warning: train: {never}'])
    assert [row[-1] for row in cells(text)] == ['50.0%', '33.3%']
    without = [f'{x.split("=")[0][:-9]}data_prefix.seg_map_path=None' for x in roots]
    assert [row[-1] for row in cells(check(capsys, *command, *without)[2])] == ['1', '1']
    status, problems, _ = check(capsys, '--config', SEGMENTATION, '--cfg-options', *(f'{x}/gone' for x in roots))
    assert problems[0] == f'error: train: no such folder: 2 ({tmp_path}/gone/images/train, {tmp_path}/gone/masks/train)'


def test_a_config_of_classification(tmp_path, capsys):
    class_folders(tmp_path)
    roots = [f'{split}_dataloader.dataset.data_root={tmp_path}' for split in ('train', 'val', 'test')]
    command = ('--config', CLASSIFICATION, '--cfg-options', *roots, 'model.head.num_classes=2')
    status, problems, text = check(capsys, *command)
    assert (status, problems) == (0, [])
    assert cells(text) == [['train', '2', '3', '1', '2'], ['val,', 'test', '2', '2', '1', '1']]
    (tmp_path / 'val/bird').mkdir()
    status, problems, _ = check(capsys, *command)
    assert (status, problems) == (
        1,
        [
            f'error: val, test: class folders without images: 1 ({tmp_path}/val/bird)',
            f'error: train, val, test: {OTHER}: 1 (bird (only in val, test))',
            'error: val, test: 3 classes, where model.head.num_classes is 2',
        ],
    )


IMAGENET = """
dataset = dict(type='mmpretrain.ImageNet', data_root={root!r})
train_dataloader = dict(dataset=dict(dataset, split='train'))
val_dataloader = dict(dataset=dict(dataset, split='val'))
test_dataloader = dict(dataset=dict(dataset, split='test'))
"""


def test_splits_of_imagenet(tmp_path, capsys):
    class_folders(tmp_path)
    image(tmp_path / 'test/a.jpg')
    (tmp_path / 'meta').mkdir()
    (tmp_path / 'meta/train.txt').write_text('cat/a.jpg 0\ndog/a.jpg 1\n')
    (tmp_path / 'config.py').write_text(IMAGENET.format(root=str(tmp_path)))
    status, problems, text = check(capsys, '--config', tmp_path / 'config.py')
    assert (status, problems) == (
        1,
        [
            'error: val: 2 class folders, where the config has 1,000 classes',
            'warning: train: 2 of 1,000 classes have an image',
        ],
    )
    assert cells(text) == [['train', '2', '2', '1', '1'], ['val', '2', '2', '1', '1'], ['test', '1']]
    names = [f'{split}_dataloader.dataset.metainfo.classes=("cat", "dog")' for split in ('train', 'val')]
    assert check(capsys, '--config', tmp_path / 'config.py', '--cfg-options', *names)[:2] == (0, [])
    (tmp_path / 'meta/train.txt').write_text('cat/a.jpg 0\ndog/a.jpg 2\n')
    status, problems, _ = check(capsys, '--config', tmp_path / 'config.py', '--cfg-options', *names)
    assert problems == ['error: train: labels that are not from 0 to 1, for 2 classes: 1 (label 2)']


LISTED = """
default_scope = 'mmseg'
folders = dict(img_path='img_dir/train', seg_map_path='ann_dir/train')
dataset = dict(type='BaseSegDataset', data_root={root!r}, data_prefix=folders, ann_file='list.txt')
train_dataloader = dict(dataset=dataset)
"""


def test_images_and_masks_by_a_list(tmp_path, capsys):
    pytest.importorskip('mmcv._ext', reason=DENSE)
    masks(tmp_path)
    (tmp_path / 'ann_dir/train/b.png').unlink()
    (tmp_path / 'config.py').write_text(LISTED.format(root=str(tmp_path)))
    command = ('--config', tmp_path / 'config.py')
    assert check(capsys, *command)[:2] == (1, [f'error: train: files that are missing: 1 ({tmp_path}/list.txt)'])
    (tmp_path / 'list.txt').write_text('a\n\n')
    status, problems, text = check(capsys, *command)
    assert (status, problems, cells(text)[0][:3]) == (0, [], ['train', '1', '1'])


SIDE_BY_SIDE = """
dataset = dict(type='mmseg.BaseSegDataset', data_root={root!r}, metainfo=dict(classes=('a', 'b', 'c')))
train_dataloader = dict(dataset=dataset)
"""


def test_images_and_masks_in_one_folder(tmp_path, capsys):
    pytest.importorskip('mmcv._ext', reason=DENSE)
    image(tmp_path / 'set/a.jpg')
    mask(tmp_path / 'set/a.png')
    (tmp_path / 'config.py').write_text(SIDE_BY_SIDE.format(root=str(tmp_path / 'set')))
    assert check(capsys, '--config', tmp_path / 'config.py')[:2] == (0, [])


PRETRAINING = """
dataset = dict(type='mixmae_mm.ImageFolder', data_root={root!r})
joined = dict(type='ConcatDataset', datasets=[dataset])
train_dataloader = dict(dataset=dict(type='RepeatDataset', times=2, dataset=joined))
val_dataloader = dict(dataset=dict(type='ConcatDataset', datasets=[dataset, dict(dataset, data_root={other!r})]))
"""


def test_images_of_wrapped_datasets(tmp_path, capsys):
    for name in ('one/a.jpg', 'one/b.jpg', 'two/a.jpg'):
        image(tmp_path / name)
    (tmp_path / 'config.py').write_text(PRETRAINING.format(root=f'{tmp_path}/one', other=f'{tmp_path}/two'))
    status, problems, text = check(capsys, '--config', tmp_path / 'config.py')
    assert (status, problems, cells(text)) == (0, [], [['train,', 'val', '2'], ['val', '1']])


@pytest.mark.parametrize(
    ('config', 'reason'),
    [
        ('model = dict()', 'has no train_dataloader, val_dataloader or test_dataloader'),
        ('train_dataloader = dict(dataset=dict(type="Nothing"))', 'there is no dataset type Nothing'),
        (
            'train_dataloader = dict(dataset=dict(type="mmpretrain.CIFAR10"))',
            'datasets of type mmpretrain.CIFAR10 are not known here; known are ImageFolder, CustomDataset, Coco',
        ),
        ('x = (', 'was never closed'),
    ],
)
def test_configs_that_name_nothing_to_check(tmp_path, capsys, config, reason):
    (tmp_path / 'config.py').write_text(config)
    with pytest.raises(SystemExit) as end:
        load_tool('dataset_tools/check_dataset.py').main(['--config', str(tmp_path / 'config.py')])
    assert end.value.code == 2
    assert reason in capsys.readouterr().err


def test_json(tmp_path, capsys):
    class_folders(tmp_path)
    (tmp_path / 'train/cat/a.jpg').write_bytes(b'')
    status, _, text = check(capsys, tmp_path, '--json')
    told = json.loads(text)
    assert status == 1
    assert told.pop('seconds') < 60
    counts = dict(classes=2, images=2, smallest_class=1, largest_class=1)
    assert told['counts']['imagenet']['val'] == counts
    (problem,) = told['problems']
    assert problem.pop('advice') == 'copy or unpack them again'
    assert problem == dict(
        severity='error', split='train', what='empty files (0 bytes)', count=1, cases=['train/cat/a.jpg']
    )


WRONG = {
    'no such folder': (['gone'], 'there is no folder gone (looked for '),
    'another kind': (['.', '--kind', 'coco'], '. is not laid out as coco: it holds above; see --help'),
    'too deep': (['.'], 'the data lie one folder deeper: give ./above (imagenet)'),
    'nothing': ([], 'give one of: a folder, --config CONFIG, or --ann FILE with --images FOLDER'),
    'several': (['.', '--config', 'x.py'], 'give one of: a folder'),
    'no images named': (['--ann', 'x.json'], 'give one of: a folder'),
    'a kind for a config': (['--config', 'x.py', '--kind', 'coco'], '--kind and --classes go with a folder: '),
    'settings for a folder': (['.', '--cfg-options', 'a=1'], '--cfg-options go with --config'),
    'no workers': (['.', '--workers', '0'], '--workers 0 --classes 0: give numbers of 1 or more'),
    'no config': (['--config', 'x.py'], 'there is no config file x.py (looked for in '),
    'no such kind': (['.', '--kind', 'voc'], "invalid choice: 'voc'"),
}


@pytest.mark.parametrize('case', WRONG)
def test_wrong_arguments(tmp_path, capsys, monkeypatch, case):
    class_folders(tmp_path / 'above')
    monkeypatch.chdir(tmp_path)
    arguments, reason = WRONG[case]
    with pytest.raises(SystemExit) as end:
        load_tool('dataset_tools/check_dataset.py').main(arguments)
    assert end.value.code == 2
    assert reason in capsys.readouterr().err


def test_as_a_script_with_two_processes(tmp_path):
    class_folders(tmp_path)
    (tmp_path / 'train/cat/a.jpg').write_text('not found')
    out, _ = finish(Program(SCRIPT, tmp_path, '--workers', '2'), status=1)
    assert cells(out) == [['train', '2', '3', '1', '2'], ['val', '2', '2', '1', '1']]
    assert (
        '1 (train/cat/a.jpg: not an image, whatever its name says). What to do: copy them again, or delete them.'
        in out
    )
