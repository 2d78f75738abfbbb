"""One file that says itself which encoder it holds: the same encoder comes out, and nothing else."""

import copy
import hashlib
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from safetensors.torch import load_file, safe_open, save_file

from mixmae_mm.apis import FeatureExtractor, get_model, save_encoder
from mixmae_mm.apis.encoder_file import describe_encoder, load_encoder, read_card
from mixmae_mm.models import MixingViT, MixMIMSwin
from mixmae_mm.version import __version__

SWIN = dict(
    arch=dict(embed_dims=8, depths=(1, 1), num_heads=(1, 2)),
    img_size=(32, 48),
    window_sizes=(4, 4),
    out_indices=(0, 1),
)
ARCH = dict(embed_dims=8, depth=2, num_heads=2)
VIT = dict(arch=ARCH, img_size=32, patch_size=8, num_sources=4, out_type='avg_featmap')
ENCODERS = {'swin': (MixMIMSwin, SWIN), 'vit': (MixingViT, VIT)}


def build(which):
    kind, settings = ENCODERS[which]
    return kind(**settings).eval()


def equal(one, other, size=(40, 56)):
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        pairs = list(zip(one(images), other(images), strict=True))
    return all(torch.equal(a, b) for a, b in pairs)


def tampered(tmp_path, **metadata):
    """Write an encoder whose file says something else of it."""
    path = save_encoder(build('vit'), tmp_path / 'vit.safetensors')
    with safe_open(path, framework='pt') as file:
        told = file.metadata()
    save_file(load_file(path), path, {name: x for name, x in (told | metadata).items() if x is not None})
    return path


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
    loaded = load_encoder(path, out_indices=(1,))
    images = torch.randn(1, 3, 32, 48)
    assert torch.equal(loaded(images)[0], load_encoder(path)(images)[1])
    with pytest.raises(ValueError, match=r"MixMIMSwin cannot be built with .*'color'.*: .*unexpected keyword"):
        load_encoder(path, color=1)


@pytest.mark.parametrize('copied', [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_an_encoder_knows_what_it_was_built_with(copied):
    encoder = MixingViT(VIT['arch'], **{name: x for name, x in VIT.items() if name != 'arch'})
    assert encoder.settings == VIT
    assert copied(encoder).settings == VIT
    assert MixMIMSwin(SWIN['arch'], 32, 4, window_sizes=(4, 4), out_indices=(1,)).settings == dict(
        arch=SWIN['arch'], img_size=32, patch_size=4, window_sizes=(4, 4), out_indices=(1,)
    )


def test_the_card_says_what_is_needed_and_no_more(tmp_path):
    settings = SWIN | dict(
        frozen_stages=1, drop_path_rate=0.3, with_cp=True, init_cfg=dict(type='Pretrained', checkpoint='secret.pth')
    )
    encoder = MODELS.build(dict(type='mixmae_mm.MixMIMSwin', **settings))
    checkpoint = tmp_path / 'weights.pth'
    checkpoint.write_bytes(b'abc' * 10**6)
    card = describe_encoder(encoder, 64, (1, 2, 3), (4, 5, 6), str(checkpoint))
    path = save_encoder(encoder, tmp_path / 'swin.safetensors', card)
    with safe_open(path, framework='pt') as file:
        told = file.metadata()
    assert told == dict(
        format='pt',
        type='MixMIMSwin',
        settings=json.dumps(json.loads(json.dumps(SWIN))),
        image_size='[64, 64]',
        mean='[1.0, 2.0, 3.0]',
        std='[4.0, 5.0, 6.0]',
        version=__version__,
        source='weights.pth',
        sha256=hashlib.sha256(b'abc' * 10**6).hexdigest(),
    )
    assert read_card(path) == card
    assert describe_encoder(encoder).image_size == (32, 48)


def test_no_file_makes_an_encoder_load_another(tmp_path):
    settings = VIT | dict(init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'no.pth')))
    card = read_card(tampered(tmp_path, settings=json.dumps(settings)))
    assert 'init_cfg' not in card.settings
    assert card.build().init_cfg is None


@pytest.mark.parametrize(
    ('metadata', 'message'),
    [
        (dict(type='os.system'), r'does not say which encoder it holds \(MixMIMSwin, MixingViT\): name the model'),
        (dict(type=None), 'does not say which encoder it holds'),
        (dict(settings='{'), 'what it says of its encoder cannot be read .*: it is damaged'),
        (dict(settings='3'), 'what it says of its encoder cannot be read'),
        (dict(mean=None), r"cannot be read \(KeyError\('mean'\)\)"),
        (dict(std='"abc"'), 'what it says of its encoder cannot be read'),
        (dict(settings=json.dumps(VIT | dict(patch_size=16))), 'this MixingViT: it is of another size'),
    ],
)
def test_files_that_say_something_else_are_refused(tmp_path, metadata, message):
    with pytest.raises(ValueError, match=message):
        load_encoder(tampered(tmp_path, **metadata))


def test_other_files_are_refused(tmp_path):
    torch.save(build('vit').state_dict(), tmp_path / 'vit.pth')
    with pytest.raises(ValueError, match='vit.pth is not a .safetensors file, so it cannot describe its encoder'):
        get_model(pretrained=str(tmp_path / 'vit.pth'))
    with pytest.raises(FileNotFoundError, match='there is no file .*no.safetensors'):
        load_encoder(tmp_path / 'no.safetensors')
    with pytest.raises(ValueError, match="there is no model 'None'"):
        get_model()
    with pytest.raises(ValueError, match='vit.pth should end in .safetensors'):
        save_encoder(build('vit'), tmp_path / 'vit.pth')
    with pytest.raises(ValueError, match='a Linear cannot be described: take a MixMIMSwin or MixingViT'):
        save_encoder(torch.nn.Linear(1, 1), tmp_path / 'linear.safetensors')
    assert not Path(tmp_path, 'linear.safetensors').exists()


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
