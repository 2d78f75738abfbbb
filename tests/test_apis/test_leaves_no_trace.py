"""Using a model leaves the program's random states and log unchanged."""

import random
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger, print_log
from tiny_mixmae import build, tiny_mixedae, write_files
from torch.utils.data import DataLoader, TensorDataset

from mixmae_mm.apis import FeatureExtractor, ReconstructionInferencer, get_model, save_pretrained
from mixmae_mm.apis.attention_maps import attention_of
from mixmae_mm.apis.export import ExportableModel
from mixmae_mm.apis.homologous_maps import homologous_maps_of
from mixmae_mm.apis.model import build_encoder
from mixmae_mm.apis.reconstruction_inferencer import mix_once
from mixmae_mm.evaluation.labeled_images import extract
from mixmae_mm.visualization.homologous_grid import draw_homologous


def states():
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


def pixels():
    return np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def made(tmp_path):
    """Return a config and its checkpoint, the model, and its encoder as a file."""
    model = build(tiny_mixedae)
    folder = save_pretrained(model.backbone, tmp_path / 'hub')
    return write_files(tmp_path, tiny_mixedae), model, folder / 'model.safetensors'


IMAGES = torch.from_numpy(pixels()).permute(0, 3, 1, 2).float()
CALLS = {
    'inferencer': lambda files, model, saved: ReconstructionInferencer(*files, device='cpu')([*pixels()], seed=3),
    'mix_once': lambda files, model, saved: mix_once(model.data_preprocessor, IMAGES, 3),
    'homologous_maps_of': lambda files, model, saved: draw_homologous(homologous_maps_of(model, IMAGES, 3), 4, 5),
    'from_file': lambda files, model, saved: FeatureExtractor.from_file(saved)([*pixels()]),
    'get_model': lambda files, model, saved: get_model(pretrained=str(saved)),
    'build_encoder': lambda files, model, saved: build_encoder(Config.fromfile(files[0]), files[1]),
    'attention_of': lambda files, model, saved: attention_of(model.backbone, IMAGES),
    'example': lambda files, model, saved: ExportableModel(model.backbone).example((32, 32)),
    'extract': lambda files, model, saved: extract(
        model.backbone, lambda x: x, DataLoader(TensorDataset(IMAGES, torch.arange(4)), 2, shuffle=True)
    ),
}
"""Each uses a finished model; building one without stored weights has to draw them."""


@pytest.mark.parametrize('which', CALLS)
def test_random_states_are_what_they_were(which, made):
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    before = states()
    CALLS[which](*made)
    assert states() == before


@pytest.mark.parametrize('with_weights', [True, False])
def test_the_log_continues_as_before(made, tmp_path, monkeypatch, with_weights):
    """A new logger would become the current one, and receive all later messages."""
    monkeypatch.setattr(MMLogger, '_instance_dict', OrderedDict())  # whatever other tests have made
    log = tmp_path / 'run.log'
    logger = MMLogger.get_instance(f'test_the_log_{with_weights}', log_file=str(log), log_level='INFO')
    names, level = [*MMLogger._instance_dict], logger.level
    config, checkpoint = made[0]
    build_encoder(Config.fromfile(config), checkpoint if with_weights else None)
    assert [*MMLogger._instance_dict] == names
    assert MMLogger.get_current_instance() is logger
    assert logger.level == level
    print_log('the program continues', logger='current')
    assert 'the program continues' in log.read_text()
