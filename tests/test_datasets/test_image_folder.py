"""Any folder of images."""

import gc
import os
import re
import weakref
from pathlib import Path

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from mixmae_mm.datasets import ImageFolder, LoadImage, SeededIndex, SeedSample

ORDER = ['a.PNG', 'b.jpg', 'c/a.bmp', 'c/b.webp', 'c/d/a.JPG', 'c/d/e.jpeg', 'd.ppm', 'z.tif']


def broken(folder, *paths):
    """Put text where images are."""
    for path in paths:
        Path(folder, path).write_text('no pixels')
    return folder


def test_a_missing_folder():
    with pytest.raises(ValueError, match=r"^data_root 'no/such' .*/no/such\); set it"):
        ImageFolder('no/such')
    with pytest.raises(ValueError, match=r'^data_root must be the path of a folder or file, got None$'):
        ImageFolder(None)


def test_a_folder_without_images_says_what_it_holds(tmp_path):
    with pytest.raises(ValueError, match=re.escape(f"no image below '{tmp_path}': it holds no files; ")):
        ImageFolder(str(tmp_path))
    for name in ('a.txt', 'b.TXT', 'c.gz', 'd'):
        (tmp_path / name).write_text('')
    with pytest.raises(ValueError, match=r'4 files \(2 \.txt, 1 \.gz, 1 without extension\)'):
        ImageFolder(str(tmp_path))


def test_extensions_of_ones_own(tmp_path):
    for name in ('a.NPY', 'b/c.npy', 'd.png'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert len(ImageFolder(str(tmp_path), extensions=['.npy'])) == 2
    for wrong in ('.npy', [], ['npy'], ['.tar.gz']):
        with pytest.raises(ValueError, match=r"^extensions .*\['\.npy'\].*, got "):
            ImageFolder(str(tmp_path), extensions=wrong)


def test_the_next_readable_image_stands_in_with_the_same_seed(image_folder):
    def keep(results):
        return results['img_path'], results['sample_idx'].seed

    dataset = ImageFolder(broken(image_folder, 'b.jpg', 'c/a.bmp'), pipeline=[SeedSample(), LoadImage(), keep])
    path, seed = dataset[SeededIndex(1, seed=6)]
    assert (os.path.relpath(path, image_folder), seed) == ('c/b.webp', 6)
    broken(image_folder, 'z.tif')
    assert dataset[SeededIndex(7, seed=6)][0].endswith('a.PNG')  # after the last comes the first


@pytest.mark.parametrize(('limit', 'count'), [(4, 4), (100, 8)])
def test_too_many_in_a_row_stop_the_run(image_folder, limit, count):
    dataset = ImageFolder(broken(image_folder, *ORDER), pipeline=[LoadImage()], max_refetch=limit)
    message = f"^{count} images in a row below '{image_folder}' cannot be read, .*{ORDER[2]}: not an image"
    with pytest.raises(ValueError, match=message):
        dataset[2]


def test_test_mode_replaces_nothing(image_folder):
    dataset = ImageFolder(broken(image_folder, 'b.jpg'), pipeline=[LoadImage()], test_mode=True)
    with pytest.raises(ValueError, match='b.jpg: not an image'):
        dataset[1]


def loader(folder, num_workers):
    pipeline = [
        dict(type='mixmae_mm.SeedSample'),
        dict(type='mixmae_mm.LoadImage'),
        dict(type='mmpretrain.RandomResizedCrop', scale=16, backend='pillow', interpolation='bicubic'),
        dict(type='mmpretrain.RandomFlip', prob=0.5),
        dict(type='mmpretrain.PackInputs'),
    ]
    config = dict(
        batch_size=3,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        sampler=dict(type='mixmae_mm.SeededSampler', shuffle=True),
        collate_fn=dict(type='default_collate'),
        dataset=dict(type='mixmae_mm.ImageFolder', data_root=folder, pipeline=pipeline),
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
    assert (first.shape, first.dtype) == ((8, 3, 16, 16), torch.uint8)
    assert not torch.equal(first.sort(0).values, second.sort(0).values)
    assert torch.equal(torch.stack(epochs(loader(image_folder, 2), [0, 1, 2])), torch.stack([first, second, third]))
    assert torch.equal(epochs(loader(image_folder, 1), [2])[0], third)


def test_workers_warn_of_each_broken_image_once(image_folder, tmp_path_factory):
    log = tmp_path_factory.mktemp('log') / 'log.txt'
    MMLogger.get_instance('test_workers_share', log_file=str(log))
    images = loader(broken(image_folder, 'b.jpg', 'c/a.bmp', 'd.ppm'), 2)
    assert epochs(images, [0, 1])[1].shape == (8, 3, 16, 16)
    assert images.dataset.corrupt.indices() == [1, 2, 6]
    counts = re.findall(r'skipped \((\d) so far\): .*: not an image', log.read_text())
    assert (len(counts), max(counts)) == (3, '3')


def test_a_subset_that_is_gone_is_forgotten(image_folder):
    """Upstream mmengine remembers it by its address, and takes what comes to lie there for it."""
    images = ImageFolder(image_folder)
    subset = weakref.ref(images.get_subset([1]))
    gc.collect()
    assert subset() is None
