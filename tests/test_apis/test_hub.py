"""Encoders in folders and on the hub: the same encoder comes back, nothing that could run is taken, nothing is sent."""

import inspect
import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mixmae_mm.apis import FeatureExtractor, fetch, from_hub, push_to_hub, save_pretrained
from mixmae_mm.apis.encoder_file import describe_encoder, method_of, read_card
from mixmae_mm.models import MixingViT, MixMIMSwin

SETTINGS = dict(arch=dict(embed_dims=8, depth=2, num_heads=2), img_size=32, patch_size=8)
FILES = ['README.md', 'config.json', 'model.safetensors']


@pytest.fixture
def encoder():
    return MixingViT(**SETTINGS).eval()


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """Stand in for the hub: a folder, reached by functions with huggingface_hub's own arguments."""
    huggingface_hub = pytest.importorskip('huggingface_hub', reason='needs huggingface_hub')
    calls = []

    def call(original, act):
        def checked(*args, **kwargs):
            given = inspect.signature(original).bind(*args, **kwargs).arguments
            calls.append((original.__name__, {name: x for name, x in given.items() if name != 'self'}))
            return act(given)

        return checked

    def upload(given):
        shutil.copytree(given['folder_path'], tmp_path / 'hub' / given['repo_id'], dirs_exist_ok=True)
        return f'https://hub/{given["repo_id"]}/commit/1'

    def download(given):
        stored, here = tmp_path / 'hub' / given['repo_id'], tmp_path / 'cache'
        here.mkdir()
        for name in given['allow_patterns']:
            if (stored / name).exists():
                shutil.copy(stored / name, here)
        return str(here)

    api = huggingface_hub.HfApi
    monkeypatch.setattr(huggingface_hub, 'snapshot_download', call(huggingface_hub.snapshot_download, download))
    monkeypatch.setattr(api, 'create_repo', call(api.create_repo, lambda given: None))
    monkeypatch.setattr(api, 'upload_folder', call(api.upload_folder, upload))
    return calls


def same(one, other):
    images = torch.randn(2, 3, 32, 40)
    return torch.equal(one(images)[0], other(images)[0])


def test_a_folder_gives_the_encoder_back_without_the_library(encoder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    folder = save_pretrained(encoder, tmp_path / 'new' / 'folder')
    assert sorted(file.name for file in folder.iterdir()) == FILES
    assert same(encoder, from_hub(folder))
    assert from_hub(folder, out_indices=(0, 1)).out_indices == (0, 1)
    assert FeatureExtractor.from_file(fetch(folder)).size == (32, 32)
    for reach in (lambda: from_hub('user/name'), lambda: push_to_hub(encoder, 'user/name')):
        with pytest.raises(ImportError, match='the hub needs huggingface_hub: pip install huggingface_hub'):
            reach()


def test_config_and_model_card_say_what_is_there(encoder, tmp_path):
    checkpoint = tmp_path / 'epoch_300.pth'
    checkpoint.write_bytes(b'abc')
    card = describe_encoder(encoder, (32, 64), checkpoint=str(checkpoint))
    folder = save_pretrained(encoder, tmp_path / 'vit-micro', card, licence='cc-by-nc-4.0')
    config = json.loads((folder / 'config.json').read_text())
    assert (config['architectures'], config['image_size']) == (['MixingViT'], [32, 64])
    assert config['settings'] == SETTINGS
    text = (folder / 'README.md').read_text()
    assert 'images of 32 x 64 pixels' in text
    assert f'`epoch_300.pth` (sha256 {card.sha256})' in text
    assert '{' not in text
    imported = re.search(r'from mixmae_mm.apis import (.*)', text)[1].split(', ')
    assert set(imported) <= set(__import__('mixmae_mm.apis').apis.__all__)


PAPERS = {'MixMAE': '2205.13137', 'MixedAE': '2303.17152', 'MAE': '2111.06377'}


def model_card(tmp_path, encoder, **told):
    return (save_pretrained(encoder, tmp_path / 'a', describe_encoder(encoder, **told)) / 'README.md').read_text()


def cited(text):
    return {name for name, paper in PAPERS.items() if paper in text}


def tags(text):
    return set(re.findall(r'^- (mixmae|mixedae|mae)$', text, re.MULTILINE))


@pytest.mark.parametrize(
    ('settings', 'told', 'tag', 'papers'),
    [
        (dict(), '', set(), {'MAE'}),  # MAE's encoder, of whatever it was trained by
        (dict(), 'MAE', {'mae'}, {'MAE'}),
        (dict(), 'MixedAE', {'mixedae'}, {'MixedAE'}),  # taken out of one, for plain images
        (dict(), 'DINO', set(), set()),
        (dict(num_sources=4), '', {'mixedae'}, {'MixedAE'}),
        (dict(num_sources=4, attention='global'), '', {'mixedae'}, {'MixedAE'}),
        (dict(num_sources=4, attention='global', segment_embedding=False), '', {'mae'}, {'MAE', 'MixedAE'}),
        (dict(num_sources=4), 'naive mixing', {'mae'}, {'MAE', 'MixedAE'}),
    ],
)
def test_the_model_card_cites_what_a_vit_was_trained_by(tmp_path, settings, told, tag, papers):
    text = model_card(tmp_path, MixingViT(**SETTINGS | settings), method=told)
    assert (tags(text), cited(text)) == (tag, papers)
    assert told != 'DINO' or 'cite the authors of DINO' in text


def test_the_model_card_cites_mixmae_for_its_encoder(tmp_path):
    arch = dict(embed_dims=8, depths=(1, 1), num_heads=(1, 2))
    text = model_card(tmp_path, MixMIMSwin(arch, img_size=32, window_sizes=(4, 4), out_indices=(1,)))
    assert (tags(text), cited(text)) == ({'mixmae'}, {'MixMAE'})


CONFIGS = Path(__file__).parents[2] / 'configs'


@pytest.mark.parametrize(
    ('config', 'method'),
    [
        ('mixmae/mixmae_mixmim-swin-base*600e_in1k.py', 'MixMAE'),
        ('mixedae/mixedae_vit-base-p16_32*300e_in1k.py', 'MixedAE'),
        ('mixedae/mixedae_vit-base-p16-noattn*_in1k.py', 'MixedAE'),
        ('mixedae/mixedae_vit-base-p16-naive*_in1k.py', 'naive mixing'),
        ('*/mae_vit-base*_in1k.py', 'MAE'),
        ('classification/mixmim-swin-base*_in1k.py', ''),
    ],
)
def test_the_method_is_what_the_config_trains_by(tmp_path, config, method):
    paths = sorted(CONFIGS.glob(config))
    assert paths
    assert method_of(Config.fromfile(paths[0]).model) == method


def test_the_method_stays_with_the_file(encoder, tmp_path):
    folder = save_pretrained(encoder, tmp_path / 'vit', describe_encoder(encoder, method='MixedAE'))
    assert read_card(fetch(folder)).method == 'MixedAE'
    assert read_card(fetch(save_pretrained(encoder, tmp_path / 'other'))).method == ''


def test_the_hub_understands_the_model_card(encoder, tmp_path):
    huggingface_hub = pytest.importorskip('huggingface_hub', reason='needs huggingface_hub')
    for licence in (None, 'apache-2.0'):
        folder = save_pretrained(encoder, tmp_path / 'vit', licence=licence)
        data = huggingface_hub.ModelCard.load(folder / 'README.md').data
        assert (data.license, data.library_name) == (licence, 'mixmae_mm')
        assert data.tags == ['mixmae_mm', 'masked-image-modeling', 'self-supervised-learning']


def test_there_and_back_through_the_hub(encoder, hub, tmp_path):
    address = push_to_hub(encoder, 'user/name', licence='apache-2.0', private=True, message='first')
    assert address == 'https://hub/user/name/commit/1'
    (tmp_path / 'hub/user/name/pytorch_model.bin').write_bytes(b'could run code')
    assert same(encoder, from_hub('user/name', revision='v1'))
    assert sorted(file.name for file in (tmp_path / 'cache').iterdir()) == FILES[1:]
    names = [name for name, given in hub]
    assert names == ['create_repo', 'upload_folder', 'snapshot_download']
    created, uploaded, downloaded = (given for name, given in hub)
    assert created == dict(repo_id='user/name', private=True, exist_ok=True)
    assert uploaded['commit_message'] == 'first'
    assert not Path(uploaded['folder_path']).exists()
    assert downloaded['revision'] == 'v1'
    assert "from_hub('user/name')" in (tmp_path / 'hub/user/name/README.md').read_text()


def test_pickles_are_left_alone(encoder, tmp_path):
    torch.save(encoder.state_dict(), tmp_path / 'pytorch_model.bin')
    with pytest.raises(ValueError, match=r"holds no model.safetensors \(but \['pytorch_model.bin'\]\), and nothing"):
        from_hub(tmp_path)


def test_what_cannot_be_described_is_not_sent(hub):
    with pytest.raises(ValueError, match='a Linear cannot be described'):
        push_to_hub(torch.nn.Linear(1, 1), 'user/name')
    assert hub == []
