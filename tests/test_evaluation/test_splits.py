import numpy as np
import pytest
from PIL import Image

from mixmae_mm.evaluation import open_splits


def write(folder, classes, count, brightness=0):
    """Write `count` grey pictures a class, each of a brightness of its own."""
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.full((12, 16, 3), brightness + 50 * label + number, np.uint8)
            Image.fromarray(pixels).save(folder / name / f'{number}.png')
    return str(folder)


def seen(dataset):
    """What is in a dataset: pairs of brightness and label."""
    return [(int(picture.float().mean()), label) for picture, label in (dataset[i] for i in range(len(dataset)))]


def test_one_folder_is_split_by_lot_into_parts_that_share_nothing(tmp_path):
    folder = write(tmp_path, 'abc', 8)
    known, asked, classes = open_splits(folder, (8, 8), 3, 100, seed=0)
    assert classes == 3
    assert (len(known), len(asked)) == (18, 6)
    assert not set(seen(known)) & set(seen(asked))
    assert set(seen(known)) | set(seen(asked)) == {(50 * c + i, c) for c in range(3) for i in range(8)}
    assert len({label for _, label in seen(known)}) == 3
    again, other = (open_splits(folder, (8, 8), 3, 100, seed)[1] for seed in (0, 1))
    assert seen(again) == seen(asked) != seen(other)


def test_train_and_val_are_kept_apart_and_of_many_a_choice_is_taken(tmp_path):
    write(tmp_path / 'train', 'abc', 20)
    write(tmp_path / 'val', 'abc', 20, brightness=25)
    known, asked, classes = open_splits(str(tmp_path), (8, 8), 3, 40, seed=0)
    assert (len(known), len(asked), classes) == (30, 10, 3)
    assert all(brightness - 50 * label < 20 for brightness, label in seen(known))
    assert all(25 <= brightness - 50 * label < 45 for brightness, label in seen(asked))
    assert {label for _, label in seen(known)} == {0, 1, 2}


@pytest.mark.parametrize('channels', [1, 3])
def test_pictures_have_the_size_and_channels_asked_for(tmp_path, channels):
    known, asked, _ = open_splits(write(tmp_path, 'ab', 4), (8, 6), channels, 100, seed=0)
    assert {tuple(part[0][0].shape) for part in (known, asked)} == {(channels, 8, 6)}


def test_what_cannot_be_split_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r'^there is no folder .*nowhere of labelled pictures \(looked for /'):
        open_splits(str(tmp_path / 'nowhere'), (8, 8), 3, 100, 0)
    with pytest.raises(ValueError, match=r'one holds 1 class folder\(s\): two or more are needed to tell them apart$'):
        open_splits(write(tmp_path / 'one', 'a', 4), (8, 8), 3, 100, 0)
    with pytest.raises(ValueError, match=r'^2 labelled picture\(s\) in .*few are too few to split$'):
        open_splits(write(tmp_path / 'few', 'ab', 1), (8, 8), 3, 100, 0)
