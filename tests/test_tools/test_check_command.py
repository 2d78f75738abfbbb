"""The command line: what the loaders of configs read, JSON, wrong arguments."""

import json
from pathlib import Path

import numpy as np
import pytest
from forked import Program
from micro_training import finish
from small_datasets import cells, check, class_folders, coco_data, cut_off, image, mask
from tool_loading import TOOLS, load_tool

SCRIPT = str(TOOLS / 'dataset_tools/check_dataset.py')
DENSE = 'needs mmdet and mmseg'
CONFIGS = Path(__file__).parents[2] / 'configs'
DETECTION = CONFIGS / 'detection/mask-rcnn_mixmim-swin-base_fpn_1xb2-amp-ms-1x_custom.py'
SEGMENTATION = CONFIGS / 'segmentation/upernet_mixmim-swin-base_1xb4-amp-40k_custom.py'
CLASSIFICATION = CONFIGS / 'classification/vit-micro-p8_1xb64-coslr-10e_imagenette-96px.py'


def command_of(config, root):
    return '--config', config, '--cfg-options', *for_each_split(f'data_root={root}')


def for_each_split(setting):
    return [f'{split}_dataloader.dataset.{setting}' for split in ('train', 'val', 'test')]


def metrics_of(root):
    return [f'{split}_evaluator.ann_file={root}/val.json' for split in ('val', 'test')]


def test_the_custom_config_of_detection(tmp_path, capsys):
    pytest.importorskip('mmcv._ext', reason=DENSE)
    for split in ('train', 'val'):
        (tmp_path / f'{split}.json').write_text(json.dumps(coco_data()))
    for name in 'ab':
        image(tmp_path / f'images/{name}.jpg')
    command = (*command_of(DETECTION, f'{tmp_path}/'), *metrics_of(tmp_path))
    status, problems, text = check(capsys, *command)
    assert (status, problems) == (0, [])
    numbers = ['2', '0', '3', '2', '2']
    assert cells(text) == [['train', *numbers], ['val,', 'test', *numbers]]
    status, problems, _ = check(capsys, *command, 'train_dataloader.dataset.metainfo.classes=("cat", "cow")')
    assert status == 1
    assert problems == [
        'error: train: classes of the config that the JSON does not have: 1 (cow)',
        'error: train, val, test: classes that are not in all splits: 2 (cow (only in train), dog (only in val, test))',
        'warning: train: categories that the config does not name, which are left out: 1 (dog)',
        'warning: train: 1 of 2 classes have an image',
    ]
    (tmp_path / 'val.json').unlink()
    status, (problem,), _ = check(capsys, *command)
    assert status == 1
    assert problem.startswith('error: val, test: cannot be opened: 1 (FileNotFoundError: ')
    assert f'{tmp_path}/val.json' in problem


def test_a_config_whose_json_lacks_a_field(tmp_path, capsys):
    pytest.importorskip('mmcv._ext', reason=DENSE)
    for split in ('train', 'val'):
        data = coco_data()
        for one in data['annotations'] if split == 'val' else ():
            del one['area']
        (tmp_path / f'{split}.json').write_text(json.dumps(data))
    for name in 'ab':
        image(tmp_path / f'images/{name}.jpg')
    status, problems, _ = check(capsys, *command_of(DETECTION, f'{tmp_path}/'), *metrics_of(tmp_path))
    assert (status, problems) == (
        1,
        [f"error: val, test: 'area' is missing in 3 of 3 annotations of {tmp_path}/val.json"],
    )


def test_the_custom_config_of_segmentation(tmp_path, capsys):
    pytest.importorskip('mmcv._ext', reason=DENSE)
    for split in ('train', 'val'):
        image(tmp_path / f'images/{split}/a.jpg')
        mask(tmp_path / f'masks/{split}/a.png', (0, 1, 1, 255))
    command = command_of(SEGMENTATION, tmp_path)
    status, problems, text = check(capsys, *command)
    assert (status, problems) == (0, [])
    assert [row[-1] for row in cells(text)] == ['25.0%', '25.0%']
    mask(tmp_path / 'masks/val/a.png', (0, 1, 2))
    _, problems, _ = check(capsys, *command)
    where = f'1 ({tmp_path}/masks/val/a.png: 2)'
    assert problems == [f'error: val, test: masks with labels other than 0 to 1, and 255: {where}']
    status, problems, text = check(capsys, *command, *for_each_split('reduce_zero_label=True'))
    assert (status, problems) == (0, ['warning: train: classes of 2 that no pixel has: 1 (label 2)'])
    assert [row[-1] for row in cells(text)] == ['50.0%', '33.3%']
    _, (problem, *_), _ = check(capsys, *command_of(SEGMENTATION, f'{tmp_path}/gone'))
    assert problem.startswith('error: train: cannot be opened: 1 (')


def test_a_config_of_classification(tmp_path, capsys):
    class_folders(tmp_path)
    command = (*command_of(CLASSIFICATION, tmp_path), 'model.head.num_classes=2')
    status, problems, text = check(capsys, *command)
    assert (status, problems) == (0, [])
    assert cells(text) == [['train', '2', '3', '1', '2'], ['val,', 'test', '2', '2', '1', '1']]
    _, problems, _ = check(capsys, *command, 'train_dataloader.dataset.indices=[0,9]')
    beyond = 'indices has 9, but there are 3 images: use indices below that, or leave it out'
    assert f'error: train: cannot be opened: 1 ({beyond})' in problems
    (tmp_path / 'val/bird').mkdir()
    status, problems, _ = check(capsys, *command)
    assert status == 1
    assert problems == [
        f'error: val, test: class folders without images: 1 ({tmp_path}/val/bird)',
        'error: train, val, test: classes that are not in all splits: 1 (bird (only in val, test))',
        'error: val, test: 3 classes, where model.head.num_classes is 2',
    ]


IMAGENET = """
dataset = dict(type='mmpretrain.ImageNet', data_root={root!r})
train_dataloader = dict(dataset=dict(dataset, split='train', metainfo=dict(classes=('cat', 'dog'))))
test_dataloader = dict(dataset=dict(dataset, split='test'))
"""


@pytest.mark.parametrize(
    ('label', 'expected'), [(1, []), (2, ['error: train: labels outside 0 to 1, for 2 classes: 1 (label 2)'])]
)
def test_splits_of_imagenet(tmp_path, capsys, label, expected):
    class_folders(tmp_path)
    image(tmp_path / 'test/a.jpg')
    (tmp_path / 'meta').mkdir()
    (tmp_path / 'meta/train.txt').write_text(f'cat/a.jpg 0\ndog/a.jpg {label}\n')
    (tmp_path / 'config.py').write_text(IMAGENET.format(root=str(tmp_path)))
    _, problems, text = check(capsys, '--config', tmp_path / 'config.py')
    assert (problems, cells(text)) == (expected, [['train', '2', '2', '1', '1'], ['test', '1']])


PRETRAINING = """
dataset = dict(type='mixmae_mm.ImageFolder', data_root={root!r})
joined = dict(type='ConcatDataset', datasets=[dataset])
train_dataloader = dict(dataset=dict(type='RepeatDataset', times=2, dataset=joined))
val_dataloader = dict(dataset=dict(type='ConcatDataset', datasets=[dataset, dict(dataset, data_root={other!r})]))
"""


def test_images_of_wrapped_datasets(tmp_path, capsys):
    for name in ('one/a.jpg', 'one/b.jpg', 'two/a.jpg'):
        image(tmp_path / name)
    cut_off(tmp_path / 'two/a.jpg')
    (tmp_path / 'config.py').write_text(PRETRAINING.format(root=f'{tmp_path}/one', other=f'{tmp_path}/two'))
    status, (problem,), text = check(capsys, '--config', tmp_path / 'config.py')
    assert (status, cells(text)) == (1, [['train,', 'val', '2'], ['val', '1']])
    assert problem.startswith(f'error: val: images that are cut off: 1 ({tmp_path}/two/a.jpg: ')


MULTISPECTRAL = """
load = dict(type='mixmae_mm.LoadMultispectralRandomResizedCrop', scale=4, channels=5, select=(0, 2))
dataset = dict(type='mixmae_mm.ImageFolder', data_root={root!r}, extensions=['.npy'], pipeline=[load])
train_dataloader = dict(dataset=dataset)
"""


@pytest.mark.parametrize('options', [(), ('--quick',)])
def test_multispectral_files_are_read_as_the_config_does(tmp_path, capsys, options):
    (tmp_path / 'multispectral').mkdir()
    for number, channels in enumerate((5, 5, 4)):
        np.save(tmp_path / f'multispectral/{number}.npy', np.zeros((8, 8, channels), np.uint16))
    (tmp_path / 'config.py').write_text(MULTISPECTRAL.format(root=f'{tmp_path}/multispectral'))
    status, problems, text = check(capsys, '--config', tmp_path / 'config.py', *options)
    assert (status, cells(text)) == (1, [['train', '3']])
    where = f'{tmp_path}/multispectral/2.npy: ValueError: 4 channels, and not 5'
    assert problems == [f'error: train: files that cannot be read as images: 1 ({where})']


TABLE = "train_dataloader = dict(dataset=dict(type='mixmae_mm.HuggingFaceImages', data_root={root!r}))"


def test_images_of_a_table(tmp_path, capsys):
    tables = pytest.importorskip('datasets', reason='needs datasets')
    for name in 'ab':
        image(tmp_path / f'{name}.jpg')
    cut_off(tmp_path / 'b.jpg')
    rows = [dict(bytes=(tmp_path / f'{name}.jpg').read_bytes(), path=None) for name in 'ab']
    table = tables.Dataset.from_dict(dict(image=rows), features=tables.Features(image=tables.Image()))
    table.save_to_disk(str(tmp_path / 'table'))
    (tmp_path / 'config.py').write_text(TABLE.format(root=f'{tmp_path}/table'))
    status, (problem,), text = check(capsys, '--config', tmp_path / 'config.py')
    assert (status, cells(text)) == (1, [['train', '2']])
    assert problem.startswith(f'error: train: images that are cut off: 1 ({tmp_path}/table/train/1: ')
    (tmp_path / 'config.py').write_text(TABLE.format(root=f'{tmp_path}/gone'))
    _, (problem,), _ = check(capsys, '--config', tmp_path / 'config.py')
    assert problem.startswith('error: train: cannot be opened: 1 (')


def test_json(tmp_path, capsys):
    class_folders(tmp_path)
    (tmp_path / 'train/cat/a.jpg').write_bytes(b'')
    status, _, text = check(capsys, tmp_path, '--json')
    found = json.loads(text)
    assert status == 1
    assert found['seconds'] < 60
    assert found['counts']['imagenet']['val'] == dict(classes=2, images=2, smallest_class=1, largest_class=1)
    (problem,) = found['problems']
    assert problem.pop('advice')
    assert problem == dict(
        severity='error', split='train', what='empty files (0 bytes)', count=1, cases=['train/cat/a.jpg']
    )


CIFAR = 'train_dataloader = dict(dataset=dict(type="mmpretrain.CIFAR10"))'


@pytest.mark.parametrize(
    ('arguments', 'config', 'reason'),
    [
        (['gone'], '', 'there is no folder gone (looked for '),
        (['.', '--layout', 'coco'], '', '. is not laid out as coco: it holds above'),
        (['.'], '', 'the data is one folder deeper: give ./above (imagenet)'),
        ([], '', 'name one of: a folder, --config CONFIG, or --ann FILE with --images FOLDER'),
        (['--ann', 'x.json'], '', 'name one of: a folder'),
        (['--config', 'x.py', '--layout', 'coco'], '', '--layout and --num-classes are for a folder: '),
        (['.', '--cfg-options', 'a=1'], '', '--cfg-options go with --config'),
        (['--config', 'x.py'], '', 'there is no config file x.py (looked for in '),
        (['--config', 'c.py'], 'model = dict()', 'has no train_dataloader, val_dataloader or test_dataloader'),
        (['--config', 'c.py'], CIFAR, 'dataset type mmpretrain.CIFAR10 is unknown; known are ImageDataset'),
    ],
)
def test_wrong_arguments(tmp_path, capsys, monkeypatch, arguments, config, reason):
    class_folders(tmp_path / 'above')
    monkeypatch.chdir(tmp_path)
    if config:
        (tmp_path / 'c.py').write_text(config)
    with pytest.raises(SystemExit) as end:
        load_tool('dataset_tools/check_dataset.py').main(arguments)
    assert end.value.code == 2
    assert reason in capsys.readouterr().err


def test_names_that_nothing_reads(tmp_path, capsys):
    image(tmp_path / 'images/a.jpg')
    own = PRETRAINING.format(root=f'{tmp_path}/images', other=f'{tmp_path}/images')
    (tmp_path / 'config.py').write_text(f'{own}\nlr_config = dict(policy="step")\n')
    status, problems, text = check(capsys, '--config', tmp_path / 'config.py')
    assert (status, problems) == (0, [f'warning: config: nothing reads lr_config of {tmp_path}/config.py'])
    assert 'What to do: write param_scheduler.' in text
    assert check(capsys, '--config', tmp_path / 'config.py', '--cfg-options', 'lr_config=1')[0] == 0


def test_as_a_script_with_two_processes(tmp_path):
    class_folders(tmp_path)
    (tmp_path / 'train/cat/a.jpg').write_text('not found')
    out, _ = finish(Program(SCRIPT, tmp_path, '--workers', '2'), status=1)
    assert cells(out) == [['train', '2', '3', '1', '2'], ['val', '2', '2', '1', '1']]
    assert '1 (train/cat/a.jpg: not an image, whatever its name says)' in out
