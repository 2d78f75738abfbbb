import os

import numpy as np
import pytest
import torch
from PIL import Image

from mixmae_mm.datasets.image_reader import ImageReader
from mixmae_mm.evaluation import count_classes, pair_masks, read_masked


@pytest.fixture
def folders(tmp_path):
    """Four images in two folders, in blocks of 24 px whose brightness is 50 times their label."""
    generator = np.random.default_rng(0)
    for number, size in enumerate([(3, 4), (4, 4), (6, 3), (5, 8)]):
        labels = generator.integers(0, 4, size, dtype=np.uint8)
        labels[0, 0] = 3 if number == 2 else 0
        labels = labels // 2 * 3 if number == 3 else labels
        labels = labels.repeat(24, 0).repeat(24, 1)
        for folder, pixels, name in (('img', labels * 50, 'photo.png'), ('ann', labels, 'labels.png')):
            path = tmp_path / folder / f'part{number % 2}' / f'{number}_{name}'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return str(tmp_path / 'img'), str(tmp_path / 'ann')


def pairs_of(folders):
    return pair_masks(*folders, None, '_photo.png', '_labels.png')


def test_an_image_goes_with_the_mask_of_its_name(folders):
    pairs = pairs_of(folders)
    assert len(pairs) == 4
    for image, mask in pairs.items():
        assert image.replace('/img/', '/ann/').replace('photo', 'labels') == mask
    assert count_classes(pairs, 255) == 4
    assert count_classes(pairs, 3) == 3


def test_without_a_suffix_the_extension_is_replaced(folders):
    image, mask = next(iter(pairs_of(folders).items()))
    os.rename(image, image.replace('_photo.png', '.PNG'))
    os.rename(mask, mask.replace('_labels.png', '.gif'))
    folder = os.path.dirname(image)
    for other in set(os.listdir(folder)) - {'0.PNG'}:
        os.remove(os.path.join(folder, other))
    assert pair_masks(folder, os.path.dirname(mask), seg_map_suffix='.gif') == {
        image.replace('_photo.png', '.PNG'): mask.replace('_labels.png', '.gif')
    }


@pytest.mark.parametrize('size', [(48, 48), (40, 100), (80, 32)])
def test_labels_stay_where_their_pixels_are(folders, size):
    """Scaled and cropped alike: inside blocks the brightness tells the label."""
    pairs, count = pairs_of(folders), 0
    for images, labels in read_masked(pairs, ImageReader(size, batch_size=3), pairs, 4, 255):
        assert images.shape[2:] == labels.shape[1:] == size
        for image, its in zip(images.double().mean(1) / 50, labels, strict=True):
            same = torch.nn.functional.max_pool2d(its[None].double(), 5, 1, 2)[0] == its
            same &= -torch.nn.functional.max_pool2d(-its[None].double(), 5, 1, 2)[0] == its
            assert (image - its)[same].abs().max() < 0.35
            count += int(same.sum())
    assert count > 100
    assert labels[-1].unique().tolist() == [0, 3]  # of a mask without 1 and 2


def test_masks_that_do_not_go_with_their_images_are_refused(folders):
    pairs = pairs_of(folders)
    first, *_, last = pairs

    def read(num_classes=4):
        return list(read_masked(pairs, ImageReader((16, 16)), pairs, num_classes, 255))

    with pytest.raises(ValueError, match=r'labels\.png: .*label 3.* 0 to 2$'):
        read(3)
    whole = Image.open(pairs[last])
    whole.crop((0, 0, 16, 8)).save(pairs[last])
    with pytest.raises(ValueError, match=r'labels\.png: .*mask is 16 x 8, .*image \d+ x \d+$'):
        read()
    whole.convert('RGB').save(pairs[last])
    with pytest.raises(ValueError, match=r'mode RGB, .*one 8-bit channel'):
        read()
    whole.save(pairs[last])
    os.remove(pairs[first])
    with pytest.raises(ValueError, match=r'1 of 4 .*: .*0_photo\.png .*0_labels\.png; check'):
        pairs_of(folders)
    with pytest.raises(ValueError, match=r'there is no folder .*nowhere'):
        pair_masks(folders[0], f'{folders[1]}/nowhere')
    with pytest.raises(ValueError, match=r'no image in .*img ends in _x.jpg'):
        pair_masks(*folders, None, '_x.jpg')


@pytest.mark.parametrize('which', [0, 1])
def test_what_is_corrupt_is_left_out(folders, which):
    pairs = pairs_of(folders)
    with open(list(pairs.items())[1][which], 'wb') as file:
        file.write(b'no image')
    (batch,) = read_masked(pairs, ImageReader((16, 16)), pairs, 4, 255)
    assert [len(one) for one in batch] == [3, 3]
    assert count_classes(pairs, 255) == 4
