from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mixmae_mm.datasets.image_reader import ImageReader
from mixmae_mm.evaluation import read_labeled, split_labeled


def write(folder, classes, count, brightness=0):
    """Write `count` gray images a class, each of a brightness of its own."""
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.full((12, 16, 3), brightness + 50 * label + number, np.uint8)
            Image.fromarray(pixels).save(folder / name / f'{number}.png')
    return str(folder)


def seen(labeled):
    """What is in a part: pairs of brightness and label."""
    images, labels = read_labeled(labeled, ImageReader((8, 8)))
    return [(int(image.float().mean()), label) for image, label in zip(images, labels.tolist(), strict=True)]


def test_one_folder_is_split_at_random_into_parts_that_share_nothing(tmp_path):
    folder = write(tmp_path, 'abc', 8)
    known, asked, classes = split_labeled(folder, None, 100, seed=0)
    assert (len(known), len(asked), classes) == (18, 6, 3)
    assert not set(seen(known)) & set(seen(asked))
    assert set(seen(known)) | set(seen(asked)) == {(50 * c + i, c) for c in range(3) for i in range(8)}
    again, other = (split_labeled(folder, None, 100, seed)[1] for seed in (0, 1))
    assert seen(again) == seen(asked) != seen(other)


def test_train_and_val_are_kept_apart_and_of_many_a_choice_is_taken(tmp_path):
    write(tmp_path / 'train', 'abc', 20)
    write(tmp_path / 'val', 'abc', 20, brightness=25)
    known, asked, classes = split_labeled(str(tmp_path), None, 40, seed=0)
    assert (len(known), len(asked), classes) == (30, 10, 3)
    assert all(brightness - 50 * label < 20 for brightness, label in seen(known))
    assert all(25 <= brightness - 50 * label < 45 for brightness, label in seen(asked))


def test_corrupt_images_are_left_out(tmp_path):
    known, _, _ = split_labeled(write(tmp_path, 'ab', 4), None, 100, seed=0)
    first, *rest = known
    Path(first).write_bytes(b'no image')
    images, labels = read_labeled(known, ImageReader((8, 6)))
    assert images.shape == (len(rest), 3, 8, 6)
    assert labels.tolist() == [known[name] for name in rest]
    with pytest.raises(ValueError, match='none of 1 labeled images can be read'):
        read_labeled({first: 0}, ImageReader((8, 6)))


def test_what_cannot_be_split_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r'there is no folder .*nowhere'):
        split_labeled(str(tmp_path / 'nowhere'), None, 100, 0)
    with pytest.raises(ValueError, match=r'one holds 1 class folder\(s\)'):
        split_labeled(write(tmp_path / 'one', 'a', 4), None, 100, 0)
    with pytest.raises(ValueError, match=r'2 labeled image\(s\) in .*few are too few'):
        split_labeled(write(tmp_path / 'few', 'ab', 1), None, 100, 0)
