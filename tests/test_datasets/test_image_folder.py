"""Any folder of images."""

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

from mixmae_mm.datasets import ImageFolder, LoadImage, SeededIndex, SeedSample

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
    """Put text where images are."""
    for path in paths:
        Path(folder, path).write_text('no pixels')
    return folder


def test_all_images_at_any_depth_in_one_order(image_folder):
    assert names(ImageFolder(image_folder)) == ORDER


def test_hidden_files_and_other_extensions_are_left_out(image_folder):
    for name in ('._b.jpg', '.cache/a.jpg', 'labels.csv', 'README'):
        Path(image_folder, name).parent.mkdir(exist_ok=True)
        Path(image_folder, name).write_bytes(b'')
    assert names(ImageFolder(image_folder)) == ORDER


def test_a_link_back_up_does_not_loop(image_folder):
    os.symlink(image_folder, Path(image_folder, 'c', 'up'))
    assert names(ImageFolder(image_folder)) == ORDER


def test_a_linked_folder_is_entered(image_folder, tmp_path_factory, save_image):
    elsewhere = tmp_path_factory.mktemp('elsewhere')
    save_image(elsewhere / 'new.jpg')
    os.symlink(elsewhere, Path(image_folder, 'e'))
    assert names(ImageFolder(image_folder)) == [*ORDER[:-1], 'e/new.jpg', ORDER[-1]]


def test_part_of_the_images(image_folder):
    assert names(ImageFolder(image_folder, indices=3)) == ORDER[:3]


def test_a_missing_folder():
    with pytest.raises(ValueError, match=r"^data_root 'no/such' does not exist \(looked for /.*no/such\); set it in"):
        ImageFolder('no/such')


def test_a_file_in_place_of_a_folder(image_folder):
    with pytest.raises(ValueError, match=r"b\.jpg' is a file; give the folder that holds the images \("):
        ImageFolder(f'{image_folder}/b.jpg')


def test_an_empty_folder(tmp_path):
    with pytest.raises(ValueError, match=re.escape(f"no image below '{tmp_path}': it holds no files at all; ")):
        ImageFolder(str(tmp_path))


def test_a_folder_of_other_files_says_which(tmp_path):
    for name in ('a.txt', 'b.TXT', 'c.gz', 'd'):
        (tmp_path / name).write_text('')
    with pytest.raises(ValueError, match=r'it holds 4 files \(2 \.txt, 1 \.gz, 1 without extension\); images end in'):
        ImageFolder(str(tmp_path))


def test_the_next_readable_image_stands_in_with_the_same_seed(image_folder, warnings):
    def keep(results):
        return results['img_path'], results['sample_idx'].seed

    dataset = ImageFolder(broken(image_folder, 'b.jpg', 'c/a.bmp'), pipeline=[SeedSample(), LoadImage(), keep])
    path, seed = dataset[SeededIndex(1, seed=6)]
    assert (os.path.relpath(path, image_folder), seed) == ('c/b.webp', 6)


def test_after_the_last_comes_the_first(image_folder, warnings):
    dataset = ImageFolder(broken(image_folder, 'z.tif'), pipeline=[LoadImage()])
    assert dataset[7]['img_path'].endswith('a.PNG')


def test_each_broken_image_is_counted_once(image_folder, warnings):
    dataset = ImageFolder(broken(image_folder, 'b.jpg', 'd.ppm'), pipeline=[LoadImage()])
    for _ in range(2):
        for index in range(len(dataset)):
            dataset[index]
    assert warnings == [
        f'corrupt image skipped ({count} so far): {image_folder}/{name}: not an image, whatever its name says'
        for count, name in [(1, 'b.jpg'), (2, 'd.ppm')]
    ]


def test_too_many_in_a_row_stop_the_run_and_the_first_are_named(image_folder, warnings):
    dataset = ImageFolder(broken(image_folder, *ORDER[2:]), pipeline=[LoadImage()], max_refetch=4)
    message = f"^4 images in a row below '{image_folder}' cannot be read, the first of them:"
    with pytest.raises(ValueError, match=message) as error:
        dataset[2]
    reasons = str(error.value).splitlines()[1:]
    assert reasons == [f'  {image_folder}/{name}: not an image, whatever its name says' for name in ORDER[2:5]]


def test_nothing_readable_ends_after_one_round(image_folder, warnings):
    dataset = ImageFolder(broken(image_folder, *ORDER), pipeline=[LoadImage()])
    with pytest.raises(ValueError, match='^8 images in a row'):
        dataset[5]


def test_test_mode_replaces_nothing(image_folder):
    dataset = ImageFolder(broken(image_folder, 'b.jpg'), pipeline=[LoadImage()], test_mode=True)
    with pytest.raises(ValueError, match='b.jpg: not an image'):
        dataset[1]


PIPELINE = [
    dict(type='mixmae_mm.SeedSample'),
    dict(type='mixmae_mm.LoadImage'),
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
        dataset=dict(type='mixmae_mm.ImageFolder', data_root=folder, pipeline=PIPELINE),
    )
    return Runner.build_dataloader(config, seed=3)


def epochs(loader, numbers):
    batches = []
    for number in numbers:
        loader.sampler.set_epoch(number)
        batches.append(torch.cat([batch['inputs'] for batch in loader]))
    return batches


def test_images_repeat_with_any_number_of_workers_and_after_a_resume(image_folder):
    first, second, third = epochs(loader(image_folder, 0), [0, 1, 2])
    assert first.shape == (8, 3, 16, 16)
    assert first.dtype == torch.uint8
    assert not torch.equal(first.sort(0).values, second.sort(0).values)
    assert torch.equal(torch.stack(epochs(loader(image_folder, 2), [0, 1, 2])), torch.stack([first, second, third]))
    assert torch.equal(epochs(loader(image_folder, 1), [2])[0], third)


def test_workers_share_the_count_of_broken_images(image_folder, tmp_path_factory):
    log = tmp_path_factory.mktemp('log') / 'log.txt'
    MMLogger.get_instance('test_workers_share', log_file=str(log))
    images = loader(broken(image_folder, 'b.jpg', 'c/a.bmp', 'd.ppm'), 2)
    assert epochs(images, [0, 1])[1].shape == (8, 3, 16, 16)
    assert np.flatnonzero(images.dataset.corrupt.flags).tolist() == [1, 2, 6]
    counts = re.findall(r'skipped \((\d) so far\)', log.read_text())
    assert len(counts) == 3
    assert max(counts) == '3'


def test_a_subset_that_is_gone_is_forgotten(image_folder):
    """Upstream mmengine remembers it by its address, and takes what comes to lie there for it."""
    images = ImageFolder(image_folder)
    subset = weakref.ref(images.get_subset([1]))
    gc.collect()
    assert subset() is None
