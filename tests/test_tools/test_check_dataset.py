"""Each fault is named, alone, where one thing is broken; nothing is said of data that are right."""

import importlib
import os

import pytest
from PIL import Image
from small_datasets import SIZE, cells, check, class_folders, coco, cut_off, image, mask, masks
from tool_loading import load_tool

load_tool('dataset_tools/check_dataset.py')  # which puts the checks where they can be imported from
FOR_STORED = importlib.import_module('dataset_checks.turning').FOR_STORED

NO_IMAGE_TEXT = 'not an image, whatever its name says'


def random_images(root):
    for name in ('a.jpg', 'deep/er/b.PNG', '.hidden/c.jpg'):
        image(root / name)


def turned(path):
    """An image that EXIF data turn by 90 degrees."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', SIZE).save(path, exif=exif)


def text_in(path):
    path.write_text('<html>not found</html>')


def as_list(root, lines, split='train'):
    (root / 'meta').mkdir(exist_ok=True)
    (root / f'meta/{split}.txt').write_text(lines)


def heap(root):
    for name in ('cat', 'dog'):
        os.rename(root / f'val/{name}/c.jpg', root / f'val/{name}.jpg')
        (root / f'val/{name}').rmdir()


def lose_class(root):
    (root / 'val/dog/c.jpg').unlink()
    (root / 'val/dog').rmdir()


def rename(root, one, other):
    os.rename(root / one, root / other)


def gray_alpha(path):
    Image.open(path).convert('LA').save(path)


IMAGES = {
    'an empty file': (lambda r: (r / 'a.jpg').write_bytes(b''), 'error: all: empty files (0 bytes): 1 (a.jpg)'),
    'a text': (
        lambda r: text_in(r / 'a.jpg'),
        f'error: all: files that cannot be read as images: 1 (a.jpg: {NO_IMAGE_TEXT})',
    ),
    'another file': (
        lambda r: text_in(r / 'notes.txt'),
        'warning: all: files that are no images by their extension, and are left out: 1 (notes.txt)',
    ),
}
CLASSES = {
    'an empty file': (
        lambda r: (r / 'train/cat/a.jpg').write_bytes(b''),
        'error: train: empty files (0 bytes): 1 (train/cat/a.jpg)',
    ),
    'a text': (
        lambda r: text_in(r / 'val/dog/c.jpg'),
        f'error: val: files that cannot be read as images: 1 (val/dog/c.jpg: {NO_IMAGE_TEXT})',
    ),
    'no class folders': (heap, 'error: val: images lie in one heap, without class folders'),
    'a class without folder': (
        lose_class,
        'error: train, val: classes that are not in all splits: 1 (dog (only in train))',
    ),
    'a class without images': (
        lambda r: (r / 'val/dog/c.jpg').unlink(),
        'error: val: class folders without images: 1 (val/dog)',
    ),
    'a hidden folder': (
        lambda r: (r / 'train/.ipynb_checkpoints').mkdir(),
        'warning: train: hidden folders, which are left out: 1 (train/.ipynb_checkpoints)',
    ),
    'an image outside': (
        lambda r: image(r / 'train/z.jpg'),
        'warning: train: images outside the class folders, which are not read: 1 (train/z.jpg)',
    ),
    'another file': (
        lambda r: text_in(r / 'train/cat/notes.txt'),
        'warning: train: files that are no images by their extension, and are left out: 1 (train/cat/notes.txt)',
    ),
    'a list with a missing image': (
        lambda r: as_list(r, 'cat/a.jpg 0\ndog/x.jpg 1\n'),
        'error: train: files that are missing: 1 (train/dog/x.jpg)',
    ),
    'a list with a line without label': (
        lambda r: as_list(r, 'cat/a.jpg 0\ndog/a.jpg\n\ndog/a.jpg one\ncat/deeper/b.jpg -1\n'),
        'error: train: lines of the list that are not "name label": 4 (dog/a.jpg, a blank line, dog/a.jpg one, ...)',
    ),
    'a list from 1 on': (
        lambda r: as_list(r, 'cat/a.jpg 1\ndog/a.jpg 2\n'),
        'warning: train: no image of the list has label 0',
    ),
}
MASKS = {
    'no mask': (
        lambda r: (r / 'ann_dir/train/a.png').unlink(),
        'error: train: images without a mask: 1 (img_dir/train/a.jpg)',
    ),
    'no image': (
        lambda r: (r / 'img_dir/train/a.jpg').unlink(),
        'warning: train: masks without an image, which are not read: 1 (ann_dir/train/a.png)',
    ),
    'an empty image': (
        lambda r: (r / 'img_dir/train/a.jpg').write_bytes(b''),
        'error: train: empty files (0 bytes): 1 (img_dir/train/a.jpg)',
    ),
    'an empty mask': (
        lambda r: (r / 'ann_dir/train/a.png').write_bytes(b''),
        'error: train: empty files (0 bytes): 1 (ann_dir/train/a.png)',
    ),
    'another size': (
        lambda r: mask(r / 'ann_dir/train/a.png', size=(32, 48)),
        'error: train: masks of another size than their image: 1 (ann_dir/train/a.png: 32 x 48, the image 48 x 32)',
    ),
    'an image turned by EXIF': (
        lambda r: turned(r / 'img_dir/train/a.jpg'),
        f'error: train: {FOR_STORED.what}: 1 (img_dir/train/a.jpg: orientation 6)',
    ),
    'an RGB mask': (
        lambda r: image(r / 'ann_dir/train/a.png'),
        'error: train: masks that are no index images of one channel: 1 (ann_dir/train/a.png: RGB)',
    ),
    'a mask with alpha': (
        lambda r: gray_alpha(r / 'ann_dir/train/a.png'),
        'error: train: masks that are no index images of one channel: 1 (ann_dir/train/a.png: LA)',
    ),
    'a label out of range': (
        lambda r: mask(r / 'ann_dir/train/a.png', (0, 1, 2, 3)),
        'error: train: masks with labels other than 0 to 2 for 3 classes, and 255: 1 (ann_dir/train/a.png: 3)',
    ),
    'a label of 16 bits': (
        lambda r: mask(r / 'ann_dir/train/a.png', (0, 1, 2, 300), dtype='uint16'),
        'error: train: masks with labels other than 0 to 2 for 3 classes, and 255: 1 (ann_dir/train/a.png: 300)',
    ),
    'a class that no pixel has': (
        lambda r: mask(r / 'ann_dir/val/c.png', (0, 1)),
        'warning: val: classes of 3 that no pixel has: 1 (label 2)',
    ),
    'mostly left out': (
        lambda r: mask(r / 'ann_dir/val/c.png', (0, 1, 2, 255, 255, 255, 255, 255)),
        'warning: val: more than half of the pixels are left out of training',
    ),
    'another extension': (
        lambda r: rename(r, 'img_dir/train/a.jpg', 'img_dir/train/z.bmp') or (r / 'ann_dir/train/a.png').unlink(),
        'warning: train: images with another extension than img_suffix, which are not read: 1 (img_dir/train/z.bmp)',
    ),
}
SETS = dict(imagenet=class_folders, ade20k=masks, images=random_images)
OPTIONS = dict(ade20k=('--classes', '3'))
COUNTS = dict(
    imagenet=[['train', '2', '3', '1', '2'], ['val', '2', '2', '1', '1']],
    ade20k=[['train', '2', '2', '0', 'to', '2', '3', '25.0%'], ['val', '1', '1', '0', 'to', '2', '3', '25.0%']],
    images=[['all', '2']],
)


@pytest.mark.parametrize('kind', SETS)
def test_nothing_is_said_of_what_is_right(tmp_path, capsys, kind):
    SETS[kind](tmp_path)
    for options in ((), ('--kind', kind)):
        status, problems, text = check(capsys, tmp_path, *options, *OPTIONS.get(kind, ()))
        assert (status, problems) == (0, [])
        assert cells(text) == COUNTS[kind]
        assert text.splitlines()[-1] == 'Nothing is wrong.'


CASES = [(random_images, *case) for case in IMAGES.values()]
CASES += [(class_folders, *case) for case in CLASSES.values()] + [(masks, *case) for case in MASKS.values()]
NAMES = [f'{kind}: {name}' for kind, cases in zip(SETS, (CLASSES, MASKS), strict=False) for name in cases]


@pytest.mark.parametrize(('build', 'harm', 'problem'), CASES, ids=[*IMAGES, *NAMES])
def test_one_broken_thing_is_named_alone(tmp_path, capsys, build, harm, problem):
    build(tmp_path)
    harm(tmp_path)
    status, problems, text = check(capsys, tmp_path, *(OPTIONS['ade20k'] if build is masks else ()))
    assert problems == [problem]
    assert status == problem.startswith('error')
    assert text.splitlines()[-1] == f'1 kind of {problem.split(":")[0]}.'


@pytest.mark.parametrize(
    ('build', 'path'),
    [(random_images, 'deep/er/b.PNG'), (class_folders, 'val/dog/c.jpg'), (masks, 'img_dir/train/a.jpg')],
)
def test_a_file_that_ends_too_early(tmp_path, capsys, build, path):
    build(tmp_path)
    cut_off(tmp_path / path)
    status, (problem,), _ = check(capsys, tmp_path)
    assert status == 1
    assert f': images that are cut off: 1 ({path}: ' in problem
    status, problems, text = check(capsys, tmp_path, '--quick')
    assert (status, problems) == (0, [])
    assert text.endswith('Nothing is wrong. Headers only: photos were not decoded, labels not looked at.\n')


def test_fine_tuning_takes_the_extensions_of_pretraining(tmp_path, capsys):
    class_folders(tmp_path)
    for extension in ('webp', 'gif', 'jp2'):
        image(tmp_path / f'train/cat/z.{extension}')
    status, problems, text = check(capsys, tmp_path)
    assert (status, problems) == (0, [])
    assert cells(text)[0] == ['train', '2', '6', '1', '5']
    dataset = f"dict(type='mmpretrain.CustomDataset', data_root={str(tmp_path / 'train')!r}, {{}})"
    for extensions, count in (("extensions=['.jpg', '.webp']", '4'), ('', '3')):
        config = f'train_dataloader = dict(dataset={dataset.format(extensions)})'
        (tmp_path / 'config.py').write_text(config)
        status, problems, text = check(capsys, '--config', tmp_path / 'config.py')
        assert cells(text)[0][2] == count
        assert [problem.partition(': 3 (')[0] for problem in problems if count == '3'] == [
            "warning: train: images that the config's dataset leaves out by their extension"
        ] * (count == '3')


def test_headers_tell_of_turned_images(tmp_path, capsys):
    masks(tmp_path)
    turned(tmp_path / 'img_dir/train/a.jpg')
    _, problem = MASKS['an image turned by EXIF']
    assert check(capsys, tmp_path, '--quick')[:2] == (1, [problem])


def test_a_mask_that_ends_too_early(tmp_path, capsys):
    masks(tmp_path)
    cut_off(tmp_path / 'ann_dir/val/c.png')
    status, problems, _ = check(capsys, tmp_path)
    assert (status, len(problems)) == (1, 1)
    assert problems[0].startswith('error: val: images that are cut off: 1 (ann_dir/val/c.png: ')


def test_masks_of_0_and_255_alone(tmp_path, capsys):
    masks(tmp_path)
    mask(tmp_path / 'ann_dir/val/c.png', (0, 0, 0, 255))
    status, problems, _ = check(capsys, tmp_path)
    assert (status, problems) == (1, ['error: val: masks hold 0 and 255 alone, and 255 is left out of training'])


def test_labels_of_no_known_number_of_classes(tmp_path, capsys):
    masks(tmp_path)
    mask(tmp_path / 'ann_dir/val/c.png', (0, 254))
    assert check(capsys, tmp_path)[:2] == (0, [])
    mask(tmp_path / 'ann_dir/val/c.png', (0, 256), dtype='uint16')
    status, problems, _ = check(capsys, tmp_path)
    assert (status, problems) == (1, ['error: val: masks with labels above 255: 1 (ann_dir/val/c.png: 256)'])


def test_lossy_masks(tmp_path, capsys):
    image(tmp_path / 'images/train/a.png')
    mask(tmp_path / 'masks/train/a.jpg', (0,))
    status, problems, _ = check(capsys, tmp_path)
    assert (status, problems) == (1, ['error: train: masks are JPEG files, whose labels are blurred'])


def test_ade20k_is_known_by_its_folders(tmp_path, capsys, monkeypatch):
    for split, labels in (('training', range(151)), ('validation', (0, 150))):
        image(tmp_path / f'images/{split}/a.jpg', (151, 2))
        mask(tmp_path / f'annotations/{split}/a.png', labels, (151 if split == 'training' else 150, 2))
    image(tmp_path / 'images/validation/a.jpg', (150, 2))
    status, problems, _ = check(capsys, tmp_path)
    assert status == 1
    assert problems == [
        'error: training: 1 images, where ADE20K has 20,210',
        'error: validation: 1 images, where ADE20K has 2,000',
        'warning: validation: classes of 150 that no pixel has: 149 (label 1, label 2, label 3, ...)',
    ]
    monkeypatch.setattr('dataset_checks.masks.ADE', dict(training=1, validation=1))
    assert check(capsys, tmp_path)[0] == 0
    mask(tmp_path / 'annotations/training/a.png', range(1, 152), (151, 2))
    status, problems, _ = check(capsys, tmp_path)
    assert status == 1
    assert problems[0] == (
        'error: training: masks with labels other than 1 to 150 for 150 classes, 0 for none of them, and 255: '
        '1 (annotations/training/a.png: 151)'
    )
    assert '--classes' not in check(capsys, tmp_path, '--classes', '152')[2]


def test_imagenet_is_known_by_its_classes(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr('dataset_checks.class_folders.IMAGENET', dict(train=4, val=3))
    monkeypatch.setattr('dataset_checks.class_folders.IMAGENET_CLASSES', 3)
    monkeypatch.setattr('dataset_checks.class_folders.NEARLY_ALL', 2)
    for name in ('n00000000', 'n00000001', 'n00000002'):
        for split in ('train', 'val'):
            image(tmp_path / split / name / 'a.jpg')
    status, problems, _ = check(capsys, tmp_path)
    assert (status, problems) == (1, ['error: train: 3 images in 1,000 classes, where ImageNet-1k has 4'])
    image(tmp_path / 'train/n00000000/b.jpg')
    assert check(capsys, tmp_path)[:2] == (0, [])
    for split in ('train', 'val'):
        (tmp_path / split / 'n00000002/a.jpg').unlink()
        (tmp_path / split / 'n00000002').rmdir()
    status, problems, text = check(capsys, tmp_path)
    lost = "2 classes with ImageNet's names, where ImageNet-1k has 3"
    assert (status, problems) == (1, [f'error: train: {lost}', f'error: val: {lost}'])
    assert text.endswith('\n1 kind of error.\n')
    monkeypatch.setattr('dataset_checks.class_folders.NEARLY_ALL', 3)
    assert check(capsys, tmp_path)[:2] == (0, [])
    assert check(capsys, tmp_path / 'train', '--kind', 'imagenet')[0] == 0


def test_all_that_is_found_is_checked(tmp_path, capsys):
    coco(tmp_path)
    class_folders(tmp_path)
    for name in 'ab':
        mask(tmp_path / f'masks/train/{name}.png')
    assert [row[0] for row in cells(check(capsys, tmp_path)[2])] == ['train', 'val', 'train', 'train']


def test_many_cases_are_counted_and_three_named(tmp_path, capsys):
    for i in range(5):
        text_in(tmp_path / f'{i}.txt')
    status, problems, _ = check(capsys, tmp_path)
    left_out = 'files that are no images by their extension, and are left out: 5 (0.txt, 1.txt, 2.txt, ...)'
    assert (status, problems) == (1, [f'error: all: no images: 1 ({tmp_path})', f'warning: all: {left_out}'])
