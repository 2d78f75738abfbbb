"""How pictures are read whole for a model, photos or files with bands, and how such are shown."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mixmae_mm.datasets import LoadBands, LoadBandsRandomResizedCrop, LoadPicture
from mixmae_mm.datasets.bands import whole_reader
from mixmae_mm.inference import FeatureExtractor
from mixmae_mm.inference.reading import fit, read_pictures, reading_for, reading_of
from mixmae_mm.models import MixMIMSwin
from mixmae_mm.models.showing import first_three, is_of_photos, to_show

ARCH = dict(embed_dims=8, depths=(1, 1), num_heads=(1, 2))
CROP = dict(type='mixmae_mm.LoadBandsRandomResizedCrop', scale=8, channels=6, bands=(4, 0))


def test_photos_of_the_right_size_are_read_as_they_are_and_others_cropped_in_the_middle(five_pictures, tmp_path):
    paths, pixels = five_pictures
    assert torch.equal(read_pictures(paths, (32, 32), LoadPicture()), pixels.float())
    wide = np.zeros((32, 96, 3), np.uint8)
    wide[:, 32:64] = 200
    Image.fromarray(wide).save(tmp_path / 'wide.png')
    middle = read_pictures([str(tmp_path / 'wide.png')], (16, 16), LoadPicture('L'))
    assert middle.shape == (1, 1, 16, 16)
    assert (middle - 200).abs().max() < 20  # bicubic edges


def test_bands_are_scaled_and_cropped_as_photos_are():
    ramp = np.add.outer(np.arange(40.0), 3 * np.arange(64.0))
    bands = np.stack([ramp, 10 * ramp, 300 - ramp, 0 * ramp + 7], 2).astype(np.uint16)
    assert np.array_equal(fit(bands, (40, 64)), bands)
    fitted = fit(bands, (10, 8))  # the middle 40 x 32, a quarter of its size
    assert (fitted.shape, fitted.dtype) == ((10, 8, 4), np.float32)
    middle = bands[:, 16:48].astype(np.float32).reshape(10, 4, 8, 4, 4).mean((1, 3))
    assert np.abs(fitted - middle)[3:-3, 3:-3].max() < 0.01  # away from edges, bicubic scaling keeps a ramp's slope
    tall = fit(bands.transpose(1, 0, 2), (8, 10))
    assert np.allclose(tall[3:-3, 3:-3], middle[3:-3, 3:-3].transpose(1, 0, 2), atol=0.01)


@pytest.mark.parametrize('size', [(20, 20), (30, 45), (64, 96)])
def test_three_bands_are_fitted_to_a_grey_level_as_pillow_fits_a_photo(size):
    noise = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    smooth = np.asarray(Image.fromarray(noise).resize((60, 40)))
    ours, pillows = fit(smooth.astype(np.float32), size), fit(smooth, size).astype(np.float32)
    assert np.abs(ours.clip(0, 255) - pillows).mean() < 1.5


def test_bands_are_read_as_the_training_reads_them():
    for transform in (CROP, LoadBandsRandomResizedCrop(scale=8, channels=6, bands=(4, 0))):
        load = whole_reader([dict(type='mixmae_mm.SeedSample'), transform])
        assert type(load) is LoadBands
        assert (load.channels, load.bands, load.channels_first) == (6, [4, 0], False)
    assert type(whole_reader([dict(type='mixmae_mm.LoadRandomResizedCrop', scale=8)])) is LoadPicture


def test_the_config_says_how_else_the_number_of_channels():
    config = Config(dict(train_dataloader=dict(dataset=dict(pipeline=[CROP], endings=['.raw']))))
    assert reading_of(config, 2).endings == ('.raw',)
    assert reading_of(config, 2).load.bands == [4, 0]
    assert [reading_of(Config(), channels).load.mode for channels in (1, 3)] == ['L', 'RGB']
    assert reading_of(Config(), 3).endings is None
    assert reading_for(5).load.channels == 5
    assert reading_for(5).endings == ('.tif', '.tiff', '.npy')


@pytest.fixture
def bands(tmp_path):
    """Three pictures of six bands, in files and as an array."""
    pixels = np.random.default_rng(0).integers(0, 4000, (3, 32, 32, 6)).astype(np.uint16)
    for number, picture in enumerate(pixels):
        np.save(tmp_path / f'{number}.npy', picture)
    return tmp_path, pixels


def test_features_of_bands(bands):
    folder, pixels = bands
    encoder = MixMIMSwin(ARCH, img_size=32, patch_size=4, window_sizes=(4, 4), out_indices=(1,), in_channels=2).eval()
    config = Config(dict(train_dataloader=dict(dataset=dict(pipeline=[CROP]))))
    mean, std = [2000.0, 1500.0], [800.0, 400.0]
    extract = FeatureExtractor(encoder, None, 32, mean, std, 'cpu', reading=reading_of(config, 2))
    chosen = torch.from_numpy(pixels[..., [4, 0]].astype(np.float32)).permute(0, 3, 1, 2)
    normal = (chosen - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)
    with torch.no_grad():
        expected = encoder(normal)[-1].mean((2, 3)).numpy()
    names, found = extract.with_names(str(folder))
    assert names == [str(folder / f'{number}.npy') for number in range(3)]
    for features in (found, extract(pixels), extract(list(pixels)), extract(pixels.astype(np.float64))):
        assert np.abs(features - expected).max() < 1e-5
    with pytest.raises(ValueError, match='^5 bands, and not 6$'):
        extract(pixels[..., :5])
    with pytest.raises(ValueError, match=r'an array of bool \(3, 32, 32, 6\) holds no pictures: give numbers, \(H, W,'):
        extract(pixels > 3)


def test_bands_by_the_length_of_the_mean_alone(bands):
    folder, pixels = bands
    encoder = MixMIMSwin(ARCH, img_size=32, patch_size=4, window_sizes=(4, 4), out_indices=(1,), in_channels=6).eval()
    extract = FeatureExtractor(encoder, image_size=32, mean=[2000.0] * 6, std=[900.0] * 6, device='cpu')
    assert np.array_equal(extract(str(folder)), extract(pixels))
    opened = extract.open([str(folder / '1.npy')])
    assert np.array_equal(opened[0], pixels[1].astype(np.float32))
    look = extract.look(opened)[0]
    assert look.shape == (32, 32, 3)
    by_hand = (127.5 * (1 + (pixels[1, ..., :3] - 2000.0) / 900 / 2.5)).clip(0, 255)
    assert np.abs(look - by_hand).max() <= 0.51


def column(*values):
    return torch.tensor(values).view(-1, 1, 1)


def test_photos_are_shown_with_their_pixels():
    pixels = torch.arange(256.0).expand(3, 1, 256)
    mean, std = column(123.675, 116.28, 103.53), column(58.395, 57.12, 57.375)
    assert torch.equal(to_show((pixels - mean) / std, mean, std), pixels.to(torch.uint8))


@pytest.mark.parametrize(
    ('mean', 'std', 'photos'),
    [
        ((120.0, 110.0, 100.0), (58.0, 57.0, 56.0), True),
        ((33.0,), (78.0,), True),
        ((0.48, 0.45, 0.4), (0.23, 0.22, 0.22), False),  # from 0 to 1
        ((2000.0, 1500.0, 900.0), (100.0, 90.0, 80.0), False),
        ((120.0, 110.0, 100.0), (300.0, 57.0, 56.0), False),
        ((120.0, 110.0), (58.0, 57.0), False),
        ((120.0,) * 5, (58.0,) * 5, False),
    ],
)
def test_what_can_be_photos(mean, std, photos):
    assert is_of_photos(column(*mean), column(*std)) == photos
    middle, bright, dark = (to_show(column(*[z] * len(mean)), column(*mean), column(*std)) for z in (0.0, 2.5, -9.0))
    if not photos:
        assert middle.unique().tolist() == [128]
        assert bright.unique().tolist() == [255]
        assert dark.unique().tolist() == [0]


def test_the_first_three_bands_have_colours():
    pictures = torch.arange(7).view(7, 1, 1).expand(2, 7, 4, 4)
    assert first_three(pictures)[0, :, 0, 0].tolist() == [0, 1, 2]
    assert [first_three(pictures[:, :count]).shape[1] for count in (1, 2, 3)] == [1, 1, 3]
