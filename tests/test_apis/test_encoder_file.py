"""Files, folders and the hub that say which encoder they hold: the same one comes out, and nothing that could run."""

import copy
import hashlib
import inspect
import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, safe_open, save_file

from mixmae_mm.apis import FeatureExtractor, fetch, from_hub, get_model, save_encoder, save_pretrained
from mixmae_mm.apis.encoder_file import describe_encoder, load_encoder, read_card
from mixmae_mm.models import MixingViT, MixMIMSwin
from mixmae_mm.registry import MODELS
from mixmae_mm.version import __version__

SWIN = dict(arch=dict(embed_dims=8, depths=(1, 1), num_heads=(1, 2)), img_size=(32, 48), window_sizes=(4, 4))
SWIN |= dict(out_indices=(0, 1))
VIT = dict(arch=dict(embed_dims=8, depth=2, num_heads=2), img_size=32, patch_size=8, num_sources=4)
VIT |= dict(out_type='avg_featmap')
ENCODERS = {'swin': (MixMIMSwin, SWIN), 'vit': (MixingViT, VIT)}
FILES = ['README.md', 'config.json', 'model.safetensors']


def build(which):
    kind, settings = ENCODERS[which]
    return kind(**settings).eval()


def equal(one, other):
    images = torch.randn(2, 3, 40, 56)
    with torch.no_grad():
        return all(torch.equal(a, b) for a, b in zip(one(images), other(images), strict=True))


@pytest.mark.parametrize('which', ENCODERS)
def test_what_comes_out_is_what_went_in(which, tmp_path):
    encoder = build(which)
    path = save_encoder(encoder, tmp_path / 'new' / 'encoder.safetensors')
    loaded = get_model(pretrained=str(path))
    assert type(loaded) is type(encoder)
    assert not loaded.training
    assert equal(encoder, loaded)
    assert [file.name for file in path.parent.iterdir()] == ['encoder.safetensors']


def test_settings_given_go_before_those_of_the_file(tmp_path):
    path = save_encoder(build('swin'), tmp_path / 'swin.safetensors')
    images = torch.randn(1, 3, 32, 48)
    assert torch.equal(load_encoder(path, out_indices=(1,))(images)[0], load_encoder(path)(images)[1])
    with pytest.raises(ValueError, match=r"MixMIMSwin .*'color'.*unexpected keyword"):
        load_encoder(path, color=1)


@pytest.mark.parametrize('copied', [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_an_encoder_knows_what_it_was_built_with(copied):
    encoder = MixingViT(VIT['arch'], **{name: x for name, x in VIT.items() if name != 'arch'})
    assert encoder.settings == copied(encoder).settings == VIT


def test_the_card_has_what_is_needed_and_no_more(tmp_path):
    training = dict(frozen_stages=1, drop_path_rate=0.3, with_cp=True, init_cfg=dict(type='Pretrained', checkpoint='x'))
    encoder = MODELS.build(dict(type='mixmae_mm.MixMIMSwin', **SWIN, **training))
    card = describe_encoder(encoder, 64, (1, 2, 3), (4, 5, 6), 'weights.pth')
    path = save_encoder(encoder, tmp_path / 'swin.safetensors', card)
    with safe_open(path, framework='pt') as file:
        assert json.loads(file.metadata()['mixmae_mm']) == dict(
            type='MixMIMSwin',
            settings=json.loads(json.dumps(SWIN)),
            image_size=[64, 64],
            mean=[1.0, 2.0, 3.0],
            std=[4.0, 5.0, 6.0],
            version=__version__,
            source='weights.pth',
        )
    assert read_card(path) == card
    assert describe_encoder(encoder).image_size == (32, 48)
    assert describe_encoder(MixMIMSwin(**SWIN | dict(img_size=(36, 50)))).image_size == (36, 50)
    assert describe_encoder(MixingViT(**VIT | dict(img_size=35))).image_size == (35, 35)
    assert describe_encoder(MixingViT(dict(embed_dims=8, depth=1, num_heads=2))).image_size == (224, 224)


def test_mean_and_std_of_another_number_of_channels_are_refused(tmp_path):
    encoder = MixingViT(**VIT, in_channels=5)
    with pytest.raises(ValueError, match=r'^mean and std have 3 and 3 numbers, but images have 5 channels: pass card='):
        save_encoder(encoder, tmp_path / 'vit.safetensors')
    card = describe_encoder(encoder, mean=range(5), std=range(1, 6), source='weights.pth')
    path = save_encoder(encoder, tmp_path / 'vit.safetensors', card)
    assert FeatureExtractor.from_file(path)(np.ones((1, 32, 32, 5), np.float32)).shape == (1, 8)


INIT = VIT | dict(init_cfg=dict(type='Pretrained', checkpoint='no.pth'))


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(type='os.system'), 'says it holds a os.system, not one of MixMIMSwin, MixingViT'),
        (None, 'does not describe its encoder, or is damaged'),
        (dict(settings=3), 'does not describe its encoder, or is damaged'),
        (dict(more=1), 'does not describe its encoder, or is damaged'),
        (dict(settings=VIT | dict(patch_size=16)), 'this MixingViT: its sizes differ'),
        (dict(settings=INIT), None),  # no file makes an encoder load another one
    ],
)
def test_files_that_say_something_else_are_refused(tmp_path, changes, message):
    path = save_encoder(build('vit'), tmp_path / 'vit.safetensors')
    metadata = {} if changes is None else dict(mixmae_mm=json.dumps(read_card(path)._asdict() | changes))
    save_file(load_file(path), path, metadata)
    if message is None:
        assert load_encoder(path).init_cfg is None
        return
    with pytest.raises(ValueError, match=message):
        load_encoder(path)


def test_other_files_are_refused(tmp_path):
    torch.save(build('vit').state_dict(), tmp_path / 'vit.pth')
    with pytest.raises(ValueError, match=r'vit\.pth .*\.safetensors'):
        get_model(pretrained=str(tmp_path / 'vit.pth'))
    with pytest.raises(FileNotFoundError, match='there is no file .*no.safetensors'):
        load_encoder(tmp_path / 'no.safetensors')
    with pytest.raises(ValueError, match='vit.pth should end in .safetensors'):
        save_encoder(build('vit'), tmp_path / 'vit.pth')
    with pytest.raises(ValueError, match='Linear .*: use a MixMIMSwin or MixingViT'):
        save_encoder(torch.nn.Linear(1, 1), tmp_path / 'linear.safetensors')
    assert not Path(tmp_path, 'linear.safetensors').exists()
    torch.save(build('vit').state_dict(), tmp_path / 'pytorch_model.bin')
    with pytest.raises(ValueError, match=r'no model\.safetensors'):
        from_hub(tmp_path)


def test_features_take_size_and_normalization_from_the_file(tmp_path):
    encoder = build('swin')
    card = describe_encoder(encoder, (48, 32), (100.0, 110.0, 120.0), (50.0, 60.0, 70.0))
    path = save_encoder(encoder, tmp_path / 'swin.safetensors', card)
    images = np.random.default_rng(0).integers(0, 256, (2, 48, 32, 3), dtype=np.uint8)
    pixels = torch.from_numpy((images - np.array(card.mean)) / np.array(card.std)).float().permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = encoder(pixels)[-1].mean((2, 3)).numpy()
    np.testing.assert_allclose(FeatureExtractor.from_file(path, device='cpu')(images), expected, atol=1e-5)
    assert FeatureExtractor.from_file(path, device='cpu', image_size=64).size == (64, 64)


# -- folders and the hub


def test_a_folder_gives_the_encoder_back_without_the_library(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    encoder = build('vit')
    folder = save_pretrained(encoder, tmp_path / 'new' / 'folder')
    assert sorted(file.name for file in folder.iterdir()) == FILES
    assert equal(encoder, from_hub(folder))
    assert from_hub(folder, out_indices=(0, 1)).out_indices == (0, 1)
    assert FeatureExtractor.from_file(fetch(folder)).size == (32, 32)
    with pytest.raises(ImportError, match='pip install huggingface_hub'):
        from_hub('user/name')


@pytest.mark.parametrize('license', [None, 'cc-by-nc-4.0'])
def test_config_and_model_card_say_what_is_there(tmp_path, license):
    huggingface_hub = pytest.importorskip('huggingface_hub', reason='needs huggingface_hub')
    card = describe_encoder(build('vit'), (32, 64), source='epoch_300.pth')
    folder = save_pretrained(build('vit'), tmp_path / 'vit-micro', card, license)
    config = json.loads((folder / 'config.json').read_text())
    assert (config['architectures'], config['image_size'], config['settings']) == (['MixingViT'], [32, 64], VIT)
    data = huggingface_hub.ModelCard.load(folder / 'README.md').data
    assert (data.license, data.library_name, data.tags[0]) == (license, 'mixmae_mm', 'mixmae_mm')
    text = (folder / 'README.md').read_text()
    assert 'images of 32 x 64 pixels' in text
    assert 'epoch_300.pth' in text
    assert '{' not in text


def test_a_changed_bit_is_found(tmp_path):
    folder = save_pretrained(build('vit'), tmp_path)
    file = folder / 'model.safetensors'
    content = file.read_bytes()
    assert json.loads((folder / 'config.json').read_text())['sha256'] == hashlib.sha256(content).hexdigest()
    file.write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])
    with pytest.raises(ValueError, match=r'model\.safetensors .*config\.json .*sha256'):
        from_hub(folder)
    (folder / 'config.json').unlink()
    assert not equal(build('vit'), from_hub(folder))


def test_of_the_hub_weights_and_config_alone_are_downloaded(tmp_path, monkeypatch):
    huggingface_hub = pytest.importorskip('huggingface_hub', reason='needs huggingface_hub')
    encoder, original, asked = build('vit'), huggingface_hub.snapshot_download, []

    def download(*args, **kwargs):
        asked.append(inspect.signature(original).bind(*args, **kwargs).arguments)
        return str(save_pretrained(encoder, tmp_path))

    monkeypatch.setattr(huggingface_hub, 'snapshot_download', download)
    assert equal(encoder, from_hub('user/name', revision='v1'))
    assert asked == [dict(repo_id='user/name', revision='v1', allow_patterns=FILES[:0:-1])]
