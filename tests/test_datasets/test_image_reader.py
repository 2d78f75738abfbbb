"""How images are read whole for a model, photos or multispectral files, and how they are displayed."""

import numpy as np
import pytest
import torch
from image_files import KINDS
from mmengine.config import Config
from PIL import Image

from mixmae_mm.apis import FeatureExtractor
from mixmae_mm.datasets import LoadImage, LoadMultispectral
from mixmae_mm.datasets.image_reader import ImageLoader, fit, image_loader_for, image_loader_of, whole_reader
from mixmae_mm.models import MixMIMSwin
from mixmae_mm.utils.denormalize import to_show

ARCH = dict(embed_dims=8, depths=(1, 1), num_heads=(1, 2))
CROP = dict(type='mixmae_mm.LoadMultispectralRandomResizedCrop', scale=8, channels=6, select=(4, 0))
TWO = dict(mean=[2000.0, 1500.0], std=[800.0, 400.0])


def test_photos_of_the_right_size_are_read_as_they_are_and_others_cropped_in_the_middle(five_images, tmp_path):
    paths, pixels = five_images
    assert torch.equal(ImageLoader(LoadImage()).read_all(paths, (32, 32)), pixels)
    wide = np.zeros((32, 96, 3), np.uint8)
    wide[:, 32:64] = 200
    Image.fromarray(wide).save(tmp_path / 'wide.png')
    middle = ImageLoader(LoadImage('L')).read_all([str(tmp_path / 'wide.png')], (16, 16))
    assert middle.shape == (1, 1, 16, 16)
    assert (middle.float() - 200).abs().max() < 20  # bicubic edges


def test_channels_are_scaled_and_cropped_as_photos_are():
    ramp = np.add.outer(np.arange(40.0), 3 * np.arange(64.0))
    channels = np.stack([ramp, 10 * ramp, 300 - ramp, 0 * ramp + 7], 2).astype(np.uint16)
    assert np.array_equal(fit(channels, (40, 64)), channels)
    fitted = fit(channels, (10, 8))  # the middle 40 x 32, a quarter of its size
    assert (fitted.shape, fitted.dtype) == ((10, 8, 4), np.float32)
    middle = channels[:, 16:48].astype(np.float32).reshape(10, 4, 8, 4, 4).mean((1, 3))
    assert np.abs(fitted - middle)[3:-3, 3:-3].max() < 0.01  # away from edges, bicubic scaling keeps a ramp's slope
    tall = fit(channels.transpose(1, 0, 2), (8, 10))
    assert np.allclose(tall[3:-3, 3:-3], middle[3:-3, 3:-3].transpose(1, 0, 2), atol=0.01)


def test_channels_are_read_as_the_training_reads_them():
    settings = dict(scale=8, channels=6, select=(4, 0), channels_first=True)
    load = whole_reader([dict(type='mixmae_mm.SeedSample'), CROP | settings])
    assert type(load) is LoadMultispectral
    assert (load.channels, load.select, load.channels_first) == (6, [4, 0], True)


def test_what_the_pipeline_says_counts_and_limits_go_along():
    crop = dict(type='mixmae_mm.LoadRandomResizedCrop', scale=8, mode='L', max_pixels=7)
    one = image_loader_of(config_of(crop, preprocessor=dict(mean=[0.5], std=[0.2])))
    assert (type(one.load), one.load.mode, one.load.max_pixels) == (LoadImage, 'L', 7)
    classes = config_of(dict(type='mixmae_mm.LoadImage', mode='BGR'), preprocessor=dict(), extensions=['.X'])
    assert (image_loader_of(classes).load.mode, image_loader_of(classes).extensions) == ('RGB', ('.x',))


@pytest.mark.parametrize('kind', KINDS)
def test_each_kind_of_image_is_read_alike_from_files_and_open_images(tmp_path, kind):
    content, expected = KINDS[kind]
    size = np.shape(expected)[:2]
    (tmp_path / 'a').write_bytes(content)
    for given in (str(tmp_path / 'a'), tmp_path / 'a', Image.open(tmp_path / 'a')):
        assert np.array_equal(ImageLoader(LoadImage()).read(given, size), expected)


def config_of(transform=CROP, wrap=lambda dataset: dataset, preprocessor=TWO, **settings):
    loader = dict(dataset=wrap(dict(pipeline=[transform], **settings)))
    return Config(dict(model=dict(data_preprocessor=preprocessor), train_dataloader=loader))


@pytest.mark.parametrize(
    'wrap',
    [
        lambda dataset: dataset,
        lambda dataset: dict(type='RepeatDataset', times=2, dataset=dataset),
        lambda dataset: dict(type='ConcatDataset', datasets=[dict(type='RepeatDataset', dataset=dataset), dataset]),
    ],
)
def test_the_config_says_how(wrap):
    image_loader = image_loader_of(config_of(wrap=wrap, extensions=['.RAW']))
    assert image_loader.extensions == ('.raw',)
    assert image_loader.load.select == [4, 0]
    assert image_loader.is_multispectral
    photos = image_loader_of(config_of(dict(type='mmpretrain.LoadImageFromFile'), wrap, dict(), extensions=['.jfif']))
    assert (photos.extensions, photos.load.mode, photos.is_multispectral) == (('.jfif',), 'RGB', False)


@pytest.mark.parametrize('loader', [None, dict(), dict(dataset=None), dict(dataset=dict())])
def test_without_pipeline_mean_and_std_say_how(loader):
    config = Config(dict(model=dict(data_preprocessor=TWO), train_dataloader=loader))
    assert image_loader_of(config).load.channels == 2
    assert image_loader_of(Config(dict(model=dict(), train_dataloader=loader))).load.mode == 'RGB'
    gray = dict(backbone=dict(in_channels=1), data_preprocessor=dict(mean=[127.5], std=[127.5]))
    assert image_loader_of(Config(dict(model=gray, train_dataloader=loader))).load.mode == 'L'


@pytest.mark.parametrize(
    ('channels', 'mean', 'std', 'mode'),
    [
        (3, [0.0], [255.0], 'RGB'),
        (3, [123.0, 116.0, 103.0], [58.0, 57.0, 57.0], 'RGB'),
        (1, [33.0], [78.0], 'L'),
        (3, [2000.0, 1500.0, 900.0], [400.0, 300.0, 200.0], None),
        (5, [100.0] * 5, [50.0] * 5, None),
        (3, [0.0] * 3, [1.0] * 3, 'RGB'),
        (3, [0.48, 0.45, 0.4], [0.23, 0.22, 0.22], None),  # from 0 to 1
    ],
)
def test_by_channels_mean_and_std(channels, mean, std, mode):
    image_loader = image_loader_for(channels, mean, std)
    assert getattr(image_loader.load, 'mode', None) == (mode or 'RGB')
    assert image_loader.extensions == (None if mode else ('.tif', '.tiff', '.npy'))
    assert (image_loader.load.channels == channels) if mode is None else not image_loader.is_multispectral


@pytest.mark.parametrize(('kind', 'mean', 'std'), [(np.uint16, 2000.0, 900.0), (np.float32, 50.0, 60.0)])
def test_features_of_multispectral_images(tmp_path, kind, mean, std):
    """In the files' units, whatever the numbers; from a folder, arrays and lists alike."""
    pixels = (np.random.default_rng(0).uniform(0, 4000, (3, 32, 32, 6))).astype(kind)
    for number, image in enumerate(pixels):
        np.save(tmp_path / f'{number}.npy', image)
    encoder = MixMIMSwin(ARCH, img_size=32, patch_size=4, window_sizes=(4, 4), out_indices=(1,), in_channels=2).eval()
    image_loader = image_loader_of(config_of())
    extract = FeatureExtractor(encoder, None, 32, [mean] * 2, [std] * 2, 'cpu', image_loader=image_loader)
    chosen = torch.from_numpy(pixels[..., [4, 0]].astype(np.float32)).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = encoder((chosen - mean) / std)[-1].mean((2, 3)).numpy()
    names, found = extract.with_names(str(tmp_path))
    assert names == [str(tmp_path / f'{number}.npy') for number in range(3)]
    for features in (found, extract(pixels), extract(list(pixels))):
        assert np.abs(features - expected).max() < 1e-5
    with pytest.raises(ValueError, match='^5 channels, and not 6$'):
        extract(pixels[..., :5])
    with pytest.raises(ValueError, match=r'bool \(32, 32, 6\) is not an image'):
        extract(pixels > 3)


def column(*values):
    return torch.tensor(values).view(-1, 1, 1)


def test_photos_are_displayed_with_their_pixels():
    pixels = torch.arange(256.0).expand(3, 1, 256)
    mean, std = column(123.675, 116.28, 103.53), column(58.395, 57.12, 57.375)
    assert torch.equal(to_show((pixels - mean) / std, mean, std), pixels.to(torch.uint8))


def test_other_channels_are_displayed_by_mean_and_standard_deviation():
    mean, std = column(2000.0, 1500.0, 900.0), column(100.0, 90.0, 80.0)
    shown = [to_show(column(*[z] * 3), mean, std) for z in (0.0, 2.5, -9.0)]
    assert [one.unique().tolist() for one in shown] == [[128], [255], [0]]
