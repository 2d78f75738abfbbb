"""Features of images, whatever holds them."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mixmae_mm.apis import FeatureExtractor, get_model, list_models
from mixmae_mm.models import MixingViT, MixMIMSwin

ARCH = dict(embed_dims=8, depths=(1, 1), num_heads=(1, 2))
SETTINGS = dict(arch=ARCH, img_size=32, patch_size=4, window_sizes=(4, 4), out_indices=(1,))


@pytest.fixture
def encoder():
    return MixMIMSwin(**SETTINGS).eval()


@pytest.fixture
def extract(encoder):
    return FeatureExtractor(encoder, image_size=(32, 64), batch_size=2, device='cpu')


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (5, 32, 64, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path, images):
    for number, image in enumerate(images):
        path = tmp_path / 'images' / f'{number % 2}' / f'{number}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return tmp_path / 'images'


def by_hand(encoder, image):
    """Normalize and encode one image: its last map (C, h, w)."""
    mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    pixels = torch.from_numpy((image - mean) / std).float().permute(2, 0, 1)[None]
    with torch.no_grad():
        return encoder(pixels)[-1][0].numpy()


def test_arrays_against_one_by_one_by_hand(extract, encoder, images):
    maps = np.stack([by_hand(encoder, image) for image in images])
    assert maps.shape == (5, 16, 4, 8)
    np.testing.assert_allclose(extract(images, 'maps'), maps, atol=1e-5)
    np.testing.assert_allclose(extract(images), maps.mean((2, 3)), atol=1e-5)
    tokens = extract(images, 'tokens')
    np.testing.assert_allclose(tokens[3, 9], maps[3, :, 1, 1], atol=1e-5)  # second row, second of 8
    assert tokens.shape == (5, 32, 16)


def test_all_ways_to_give_an_image_are_one_and_its_middle_counts(extract, folder, images):
    path, expected = folder / '0' / '2.png', extract(images[2])
    for given in (path, str(path), Image.open(path), images[2:3], [path], [[images[2]]]):
        assert np.array_equal(extract(given), expected)
    wide = np.concatenate([255 - images[0], images[0], images[0][:, ::-1]], axis=1)
    np.testing.assert_allclose(extract(wide), extract(images[0]), atol=1e-5)


def test_a_folder_goes_by_names_and_what_is_broken_is_left_out(extract, folder, images, tmp_path):
    (folder / '0' / '2.png').write_bytes(b'no image')
    out = extract.save(folder, tmp_path / 'new' / 'features.npz')
    saved = np.load(out)
    order = [0, 4, 1, 3]
    assert saved['names'].tolist() == [str(folder / str(number % 2) / f'{number}.png') for number in order]
    np.testing.assert_allclose(saved['features'], extract(images[order]), atol=1e-6)


def test_a_config_gives_size_and_normalization():
    preprocessor = dict(type='mixmae_mm.MixingDataPreprocessor', mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0])
    model = dict(backbone=dict(type='mixmae_mm.MixMIMSwin', **SETTINGS), data_preprocessor=preprocessor)
    extract = FeatureExtractor.from_config(Config(dict(model=model)), device='cpu')
    assert (extract.size, extract.encoder.training) == ((32, 32), False)
    assert [x.flatten().tolist() for x in (extract.mean, extract.std)] == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]


def test_a_channel_of_weights_is_read_but_not_encoded(tmp_path):
    preprocessor = dict(mean=[1.0] * 5, std=[2.0] * 5)
    backbone = dict(type='mixmae_mm.MixMIMSwin', **SETTINGS, in_channels=5)
    pixels = np.random.default_rng(0).random((32, 32, 6)).astype(np.float32)
    np.save(tmp_path / 'a.npy', pixels)
    features = []
    for channels, weights in ((6, 'last_channel'), (5, None), (6, None)):
        reading = dict(type='mixmae_mm.LoadMultispectralRandomResizedCrop', scale=32, channels=channels)
        dataset = dict(type='mixmae_mm.ImageFolder', data_root=str(tmp_path), pipeline=[reading])
        model = dict(backbone=backbone, data_preprocessor=preprocessor | dict(weights=weights))
        torch.manual_seed(0)
        extract = FeatureExtractor.from_config(Config(dict(model=model, train_dataloader=dict(dataset=dataset))))
        if channels == 6 and weights is None:
            with pytest.raises(ValueError, match='^images have 6 channels, but mean and std are for 5$'):
                extract(str(tmp_path))
        else:
            np.save(tmp_path / 'a.npy', pixels[..., :channels])
            features.append(extract(str(tmp_path)))
            shown = extract.as_shown(extract.open_all([str(tmp_path / 'a.npy')]))
            assert shown.shape == (1, 32, 32, 3)
            np.save(tmp_path / 'a.npy', pixels)
    np.testing.assert_array_equal(*features)


def test_weights_come_from_a_file_of_the_same_model(tmp_path, encoder):
    tiny = get_model('mixmim-swin-tiny', img_size=32)
    with torch.no_grad():
        tiny.norm.weight.normal_()
    weights = {f'backbone.{name}': value for name, value in tiny.state_dict().items()}
    torch.save(dict(state_dict=weights), tmp_path / 'tiny')
    found = FeatureExtractor('mixmim-swin-tiny', str(tmp_path / 'tiny'), image_size=32, device='cpu')
    assert all(torch.equal(value, weights[f'backbone.{name}']) for name, value in found.encoder.state_dict().items())
    torch.save(encoder.state_dict(), tmp_path / 'other')
    with pytest.raises(ValueError, match='pretrained needs the name of a model'):
        FeatureExtractor(encoder, str(tmp_path / 'other'))
    with pytest.raises(ValueError, match='does not fit this MixMIMSwin'):
        get_model('mixmim-swin-tiny', str(tmp_path / 'other'))


def test_what_is_wrong_is_refused(extract, images, tmp_path):
    for given, message in (
        (np.zeros((4, 4, 3)), r'an array of float64 \(4, 4, 3\)'),
        (np.zeros((4, 4), np.uint8), r'an array of uint8 \(4, 4\)'),
        ([], 'none of the given images can be read'),
        ('no/such.png', 'none of the given images can be read'),
    ):
        with pytest.raises(ValueError, match=message):
            extract(given)
    with pytest.raises(ValueError, match="'pool' .*: take one of pooled, maps, tokens"):
        extract(images, 'pool')
    with pytest.raises(ValueError, match=r'features.csv should end in .npz'):
        extract.save(images, tmp_path / 'features.csv')


def test_models_by_name():
    assert list_models('*-base') == ['mixmim-swin-base', 'mixing-vit-base']
    assert len(list_models()) == 8
    with pytest.raises(ValueError, match="'resnet': take one of mixmim-swin-tiny, "):
        get_model('resnet')
    model = get_model('mixmim-swin-tiny', img_size=64, out_indices=(0, 3))
    assert isinstance(model, MixMIMSwin)
    assert not model.training
    assert [x.shape for x in model(torch.zeros(1, 3, 64, 64))] == [(1, 96, 16, 16), (1, 768, 2, 2)]
    assert isinstance(get_model('mixing-vit-small', img_size=32), MixingViT)


@pytest.mark.parametrize('precision', ['bf16', 'fp16'])
def test_autocast_gives_nearly_the_same_features_as_float32(encoder, images, precision):
    plain, fast = (FeatureExtractor(encoder, image_size=32, precision=one)(images) for one in ('fp32', precision))
    assert fast.dtype == np.float32
    assert 0 < np.abs(fast - plain).max() < 0.1 * np.abs(plain).max()
    with pytest.raises(ValueError, match=r"^precision must be one of fp32, bf16, fp16, got 'int8'$"):
        FeatureExtractor(encoder, precision='int8')
