"""Any folder of pictures."""

import gc
import os
import re
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from mixmae_mm.datasets import LoadPicture, PictureFolder, SeededIndex, SeedSample

ORDER = ['a.PNG', 'b.jpg', 'c/a.bmp', 'c/b.webp', 'c/d/a.JPG', 'c/d/e.jpeg', 'd.ppm', 'z.tif']


def names(dataset):
    root = dataset.data_root
    return [os.path.relpath(dataset.get_data_info(i)['img_path'], root) for i in range(len(dataset))]


@pytest.fixture
def warnings(monkeypatch):
    """Collect what is logged as a warning."""
    texts = []
    monkeypatch.setattr('mixmae_mm.datasets.skip_corrupt.print_log', lambda text, **_: texts.append(text))
    return texts


def broken(folder, *paths):
    """Put text where pictures are."""
    for path in paths:
        Path(folder, path).write_text('no pixels')
    return folder


def test_all_pictures_at_any_depth_in_one_order(picture_folder):
    assert names(PictureFolder(picture_folder)) == ORDER


def test_hidden_files_and_other_endings_are_left_out(picture_folder):
    for name in ('._b.jpg', '.cache/a.jpg', 'labels.csv', 'README'):
        Path(picture_folder, name).parent.mkdir(exist_ok=True)
        Path(picture_folder, name).write_bytes(b'')
    assert names(PictureFolder(picture_folder)) == ORDER


def test_a_link_back_up_does_not_loop(picture_folder):
    os.symlink(picture_folder, Path(picture_folder, 'c', 'up'))
    assert names(PictureFolder(picture_folder)) == ORDER


def test_a_linked_folder_is_entered(picture_folder, tmp_path_factory, save_picture):
    elsewhere = tmp_path_factory.mktemp('elsewhere')
    save_picture(elsewhere / 'new.jpg')
    os.symlink(elsewhere, Path(picture_folder, 'e'))
    assert names(PictureFolder(picture_folder)) == [*ORDER[:-1], 'e/new.jpg', ORDER[-1]]


def test_part_of_the_pictures(picture_folder):
    assert names(PictureFolder(picture_folder, indices=3)) == ORDER[:3]


def test_a_missing_folder():
    with pytest.raises(ValueError, match=r"^data_root 'no/such' does not exist \(looked for /.*no/such\); set it in"):
        PictureFolder('no/such')


def test_a_file_in_place_of_a_folder(picture_folder):
    with pytest.raises(ValueError, match=r"b\.jpg' is a file; give the folder that holds the pictures \("):
        PictureFolder(f'{picture_folder}/b.jpg')


def test_an_empty_folder(tmp_path):
    with pytest.raises(ValueError, match=re.escape(f"no picture below '{tmp_path}': it holds no files at all; ")):
        PictureFolder(str(tmp_path))


def test_a_folder_of_other_files_says_which(tmp_path):
    for name in ('a.txt', 'b.TXT', 'c.gz', 'd'):
        (tmp_path / name).write_text('')
    with pytest.raises(ValueError, match=r'it holds 4 files \(2 \.txt, 1 \.gz, 1 without extension\); pictures end in'):
        PictureFolder(str(tmp_path))


def test_the_next_readable_picture_stands_in_with_the_same_seed(picture_folder, warnings):
    def keep(results):
        return results['img_path'], results['sample_idx'].seed

    dataset = PictureFolder(broken(picture_folder, 'b.jpg', 'c/a.bmp'), pipeline=[SeedSample(), LoadPicture(), keep])
    path, seed = dataset[SeededIndex(1, seed=6)]
    assert (os.path.relpath(path, picture_folder), seed) == ('c/b.webp', 6)


def test_after_the_last_comes_the_first(picture_folder, warnings):
    dataset = PictureFolder(broken(picture_folder, 'z.tif'), pipeline=[LoadPicture()])
    assert dataset[7]['img_path'].endswith('a.PNG')


def test_each_broken_picture_is_counted_once(picture_folder, warnings):
    dataset = PictureFolder(broken(picture_folder, 'b.jpg', 'd.ppm'), pipeline=[LoadPicture()])
    for _ in range(2):
        for index in range(len(dataset)):
            dataset[index]
    assert warnings == [
        f'unreadable picture skipped ({count} so far): {picture_folder}/{name}: not a picture, whatever its name says'
        for count, name in [(1, 'b.jpg'), (2, 'd.ppm')]
    ]


def test_too_many_in_a_row_stop_the_run_and_the_first_are_named(picture_folder, warnings):
    dataset = PictureFolder(broken(picture_folder, *ORDER[2:]), pipeline=[LoadPicture()], max_refetch=4)
    message = f"^4 pictures in a row below '{picture_folder}' cannot be read, the first of them:"
    with pytest.raises(ValueError, match=message) as error:
        dataset[2]
    reasons = str(error.value).splitlines()[1:]
    assert reasons == [f'  {picture_folder}/{name}: not a picture, whatever its name says' for name in ORDER[2:5]]


def test_nothing_readable_ends_after_one_round(picture_folder, warnings):
    dataset = PictureFolder(broken(picture_folder, *ORDER), pipeline=[LoadPicture()])
    with pytest.raises(ValueError, match='^8 pictures in a row'):
        dataset[5]


def test_test_mode_replaces_nothing(picture_folder):
    dataset = PictureFolder(broken(picture_folder, 'b.jpg'), pipeline=[LoadPicture()], test_mode=True)
    with pytest.raises(ValueError, match='b.jpg: not a picture'):
        dataset[1]


PIPELINE = [
    dict(type='mixmae_mm.SeedSample'),
    dict(type='mixmae_mm.LoadPicture'),
    dict(type='mmpretrain.RandomResizedCrop', scale=16, backend='pillow', interpolation='bicubic'),
    dict(type='mmpretrain.RandomFlip', prob=0.5),
    dict(type='mmpretrain.PackInputs'),
]


def loader(folder, num_workers):
    config = dict(
        batch_size=3,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        sampler=dict(type='mixmae_mm.SeededSampler', shuffle=True),
        collate_fn=dict(type='default_collate'),
        dataset=dict(type='mixmae_mm.PictureFolder', data_root=folder, pipeline=PIPELINE),
    )
    return Runner.build_dataloader(config, seed=3)


def epochs(loader, numbers):
    batches = []
    for number in numbers:
        loader.sampler.set_epoch(number)
        batches.append(torch.cat([batch['inputs'] for batch in loader]))
    return batches


def test_pictures_repeat_with_any_number_of_workers_and_after_a_resume(picture_folder):
    first, second, third = epochs(loader(picture_folder, 0), [0, 1, 2])
    assert first.shape == (8, 3, 16, 16)
    assert first.dtype == torch.uint8
    assert not torch.equal(first.sort(0).values, second.sort(0).values)
    assert torch.equal(torch.stack(epochs(loader(picture_folder, 2), [0, 1, 2])), torch.stack([first, second, third]))
    assert torch.equal(epochs(loader(picture_folder, 1), [2])[0], third)


def test_workers_share_the_count_of_broken_pictures(picture_folder, tmp_path_factory):
    log = tmp_path_factory.mktemp('log') / 'log.txt'
    MMLogger.get_instance('test_workers_share', log_file=str(log))
    pictures = loader(broken(picture_folder, 'b.jpg', 'c/a.bmp', 'd.ppm'), 2)
    assert epochs(pictures, [0, 1])[1].shape == (8, 3, 16, 16)
    assert np.flatnonzero(pictures.dataset.unreadable.flags).tolist() == [1, 2, 6]
    counts = re.findall(r'skipped \((\d) so far\)', log.read_text())
    assert len(counts) == 3
    assert max(counts) == '3'


def test_a_subset_that_is_gone_is_forgotten(picture_folder):
    """Upstream mmengine remembers it by its address, and takes what comes to lie there for it."""
    pictures = PictureFolder(picture_folder)
    subset = weakref.ref(pictures.get_subset([1]))
    gc.collect()
    assert subset() is None
