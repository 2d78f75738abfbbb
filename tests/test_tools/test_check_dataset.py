"""Each fault is named, alone, where one thing is broken; nothing is said of data that are right."""

import pytest
from small_datasets import cells, check, class_folders, coco, cut_off, image, mask, masks


def random_images(root):
    for name in ('a.jpg', 'deep/er/b.PNG', '.hidden/c.jpg'):
        image(root / name)


def text_in(*names):
    return lambda root: [(root / name).write_text('<html>not found</html>') for name in names]


def empty(name):
    return lambda root: (root / name).write_bytes(b'')


def without(name):
    return lambda root: (root / name).unlink()


def as_list(lines):
    def write(root):
        (root / 'meta').mkdir()
        (root / 'meta/train.txt').write_text(lines)

    return write


def heap(root):
    for name in ('cat', 'dog'):
        (root / f'val/{name}/c.jpg').rename(root / f'val/{name}.jpg')
        (root / f'val/{name}').rmdir()


def lose_class(root):
    (root / 'val/dog/c.jpg').unlink()
    (root / 'val/dog').rmdir()


def masked(labels, name='train/a', **settings):
    return lambda root: mask(root / f'ann_dir/{name}.png', labels, **settings)


def other_extension(root):
    (root / 'img_dir/train/a.jpg').rename(root / 'img_dir/train/z.bmp')
    (root / 'ann_dir/train/a.png').unlink()


A, MASK = 'img_dir/train/a.jpg', 'ann_dir/train/a.png'
LIST = 'cat/a.jpg 0\ndog/a.jpg\n\ndog/a.jpg one\ncat/deeper/b.jpg -1\n'
OTHERS = 'files without an image extension, which are left out: 1 '
LABELS = f'masks with labels other than 0 to 2, and 255: 1 ({MASK}: '
HARM = [
    (random_images, empty('a.jpg'), 'error: all', 'empty files (0 bytes): 1 (a.jpg)'),
    (random_images, text_in('a.jpg'), 'error: all', 'as images: 1 (a.jpg: not an image, whatever its name says)'),
    (random_images, text_in('notes.txt'), 'warning: all', f'{OTHERS}(notes.txt)'),
    (random_images, text_in('b.heic'), 'warning: all', 'left out because of their extension: 1 (b.heic)'),
    (class_folders, text_in('val/cat/b.HEIC'), 'warning: val', 'because of their extension: 1 (val/cat/b.HEIC)'),
    (class_folders, heap, 'error: val', 'images in one folder, without class folders'),
    (class_folders, lose_class, 'error: train, val', 'not in all splits: 1 (dog (only in train))'),
    (class_folders, without('val/dog/c.jpg'), 'error: val', 'class folders without images: 1 (val/dog)'),
    (class_folders, lambda r: (r / 'train/.git').mkdir(), 'warning: train', 'left out: 1 (train/.git)'),
    (class_folders, lambda r: image(r / 'train/z.jpg'), 'warning: train', 'outside the class folders, '),
    (class_folders, as_list('cat/a.jpg 0\ndog/x.jpg 1\n'), 'error: train', 'missing: 1 (train/dog/x.jpg)'),
    (class_folders, as_list(LIST), 'error: train', '"name label": 4 (dog/a.jpg, a blank line, dog/a.jpg one, ...)'),
    (class_folders, as_list('cat/a.jpg 1\ndog/a.jpg 2\n'), 'warning: train', 'no image of the list has label 0'),
    (masks, without(MASK), 'error: train', f'images without a mask: 1 ({A})'),
    (masks, without(A), 'warning: train', f'masks without an image, which are not read: 1 ({MASK})'),
    (masks, empty(MASK), 'error: train', f'empty files (0 bytes): 1 ({MASK})'),
    (masks, masked((0, 1, 2, 255), size=(32, 48)), 'error: train', f'1 ({A}: 48 x 32, annotated as 32 x 48)'),
    (masks, lambda r: image(r / A, orientation=6), 'error: train', f'EXIF orientation: 1 ({A}: orientation 6)'),
    (masks, lambda r: image(r / A, orientation=3), 'warning: train', f'without it: 1 ({A}: orientation 3)'),
    (masks, lambda r: image(r / MASK), 'error: train', f'not single-channel index images: 1 ({MASK}: RGB)'),
    (masks, masked((0, 1, 2, 3)), 'error: train', f'{LABELS}3)'),
    (masks, masked((0, 1), 'val/c'), 'warning: val', 'classes of 3 that no pixel has: 1 (label 2)'),
    (masks, masked((0, 1, 2, *[255] * 5), 'val/c'), 'warning: val', 'more than half of the pixels are left out'),
    (
        masks,
        other_extension,
        'warning: train',
        'images that do not end in img_suffix, which are not read: 1 (img_dir/train/z.bmp)',
    ),
]
SETS = dict(imagenet=class_folders, ade20k=masks, images=random_images)
OPTIONS = dict(ade20k=('--num-classes', '3'))
COUNTS = dict(
    imagenet=[['train', '2', '3', '1', '2'], ['val', '2', '2', '1', '1']],
    ade20k=[['train', '2', '2', '0', 'to', '2', '3', '25.0%'], ['val', '1', '1', '0', 'to', '2', '3', '25.0%']],
    images=[['all', '2']],
)


@pytest.mark.parametrize('kind', SETS)
def test_nothing_is_said_of_what_is_right(tmp_path, capsys, kind):
    SETS[kind](tmp_path)
    for options in ((), ('--layout', kind)):
        status, problems, text = check(capsys, tmp_path, *options, *OPTIONS.get(kind, ()))
        assert (status, problems, cells(text)) == (0, [], COUNTS[kind])
        assert text.splitlines()[-1] == 'Nothing is wrong.'


@pytest.mark.parametrize(('build', 'harm', 'where', 'words'), HARM, ids=[words for *_, words in HARM])
def test_one_broken_thing_is_named_alone(tmp_path, capsys, build, harm, where, words):
    build(tmp_path)
    harm(tmp_path)
    status, (problem,), text = check(capsys, tmp_path, *(OPTIONS['ade20k'] if build is masks else ()))
    assert problem.startswith(f'{where}: ')
    assert words in problem
    assert status == where.startswith('error')
    assert text.splitlines()[-1] == f'1 kind of {where.split(":")[0]}.'


@pytest.mark.parametrize(('build', 'path'), [(random_images, 'deep/er/b.PNG'), (masks, 'ann_dir/val/c.png')])
def test_a_file_that_ends_too_early(tmp_path, capsys, build, path):
    build(tmp_path)
    cut_off(tmp_path / path)
    status, (problem,), _ = check(capsys, tmp_path)
    assert status == 1
    assert f': images that are cut off: 1 ({path}: ' in problem
    status, problems, text = check(capsys, tmp_path, '--quick')
    assert (status, problems) == (0, [])
    assert text.endswith('Nothing is wrong. Headers only: photos were not decoded, labels not checked.\n')


def test_fine_tuning_takes_the_extensions_of_pretraining(tmp_path, capsys):
    class_folders(tmp_path)
    for extension in ('webp', 'gif', 'jp2'):
        image(tmp_path / f'train/cat/z.{extension}')
    status, problems, text = check(capsys, tmp_path)
    assert (status, problems) == (0, [])
    assert cells(text)[0] == ['train', '2', '6', '1', '5']
    config = f"train_dataloader = dict(dataset=dict(type='mmpretrain.CustomDataset', data_root='{tmp_path}/train'))"
    (tmp_path / 'config.py').write_text(config)
    _, (problem,), text = check(capsys, '--config', tmp_path / 'config.py')
    assert cells(text)[0][2] == '3'
    left_out = f'the extension leaves out 3 files (1 .gif, 1 .jp2, 1 .webp) below {tmp_path}/train'
    assert problem == f'warning: train: {left_out}, such as {tmp_path}/train/cat/z.gif'


def test_lossy_masks(tmp_path, capsys):
    image(tmp_path / 'images/train/a.png')
    mask(tmp_path / 'masks/train/a.jpg', (0,))
    assert check(capsys, tmp_path)[:2] == (1, ['error: train: masks are JPEG files, which blurs the labels'])


def test_masks_of_ade20k_hold_no_class_0(tmp_path, capsys):
    image(tmp_path / 'images/training/a.jpg', (151, 2))
    mask(tmp_path / 'annotations/training/a.png', range(151), (151, 2))
    assert check(capsys, tmp_path)[:2] == (0, [])
    mask(tmp_path / 'annotations/training/a.png', range(1, 152), (151, 2))
    where = '1 (annotations/training/a.png: 151)'
    labels = f'masks with labels other than 1 to 150, 0 for none of them, and 255: {where}'
    assert check(capsys, tmp_path)[:2] == (1, [f'error: training: {labels}'])
    assert check(capsys, tmp_path, '--num-classes', '152')[0] == 0


def test_all_that_is_found_is_checked(tmp_path, capsys):
    coco(tmp_path)
    class_folders(tmp_path)
    for name in 'ab':
        mask(tmp_path / f'masks/train/{name}.png')
    assert [row[0] for row in cells(check(capsys, tmp_path)[2])] == ['train', 'val', 'train', 'train']
