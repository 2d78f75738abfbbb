"""Datasets of a few images in the layouts that check_dataset.py knows, all of them without a fault."""

import json

import numpy as np
from PIL import Image
from tool_loading import load_tool

SIZE = WIDTH, HEIGHT = 48, 32


def image(path, size=SIZE, orientation=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(256, size=(*size[::-1], 3), dtype=np.uint8)
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.fromarray(noise).save(path, exif=exif)


def mask(path, labels=(0, 1, 2, 255), size=SIZE, dtype=np.uint8):
    """Columns of one label each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    row = np.repeat(np.array(labels, dtype), size[0] // len(labels))
    Image.fromarray(np.tile(row, (size[1], 1))).save(path)


def cut_off(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def class_folders(root):
    for place in ('train/cat/a', 'train/cat/deeper/b', 'train/dog/a', 'val/cat/c', 'val/dog/c'):
        image(root / f'{place}.jpg')


def masks(root):
    for name in ('train/a', 'train/b', 'val/c'):
        image(root / f'img_dir/{name}.jpg')
        mask(root / f'ann_dir/{name}.png')


def coco_data():
    """One object as polygon, one as compressed and one as plain run-length code."""
    plain = dict(size=[HEIGHT, WIDTH], counts=[0, 5, HEIGHT * WIDTH - 5])
    outlines = [[[2, 3, 20, 3, 20, 9]], dict(plain, counts='05k_1'), plain]
    places = [(1, 7, [2, 3, 18, 6]), (1, 9, [0, 0, 48, 10]), (2, 9, [0.5, 0, 1, 5])]
    return dict(
        images=[dict(id=i, file_name=f'{name}.jpg', width=WIDTH, height=HEIGHT) for i, name in ((1, 'a'), (2, 'b'))],
        categories=[dict(id=7, name='cat'), dict(id=9, name='dog')],
        annotations=[
            dict(id=i, image_id=image, category_id=category, bbox=box, area=50.0, iscrowd=0, segmentation=outline)
            for i, ((image, category, box), outline) in enumerate(zip(places, outlines, strict=True))
        ],
    )


def coco(root, data=None):
    for name in ('a', 'b'):
        image(root / f'images/train/{name}.jpg')
    (root / 'annotations').mkdir()
    (root / 'annotations/instances_train.json').write_text(json.dumps(data or coco_data()))


def check(capsys, *arguments):
    """Run the tool in this process: its exit status, what is wrong without the advice, and all that was printed."""
    status = load_tool('dataset_tools/check_dataset.py').main([*map(str, arguments), '--workers', '1'])
    text = capsys.readouterr().out
    lines = [line for line in text.splitlines() if line.startswith(('error', 'warning'))]
    assert all(len(line.split('. What to do: ')[1]) > 5 for line in lines)
    return status, [line.split('. What to do: ')[0] for line in lines], text


def cells(text):
    """The lines of all tables that were printed."""
    return [line.replace('│', '').split() for line in text.splitlines() if line.startswith('│')]
