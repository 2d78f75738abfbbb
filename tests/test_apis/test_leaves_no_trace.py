"""Whoever uses a model finds the random states and the log of the program as they were."""

import random
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger, print_log
from tiny_mixmae import build, tiny_mixedae, write_files
from torch.utils.data import DataLoader, TensorDataset

from mixmae_mm.apis import FeatureExtractor, ReconstructionInferencer, from_hub, get_model, save_pretrained
from mixmae_mm.apis.attention_maps import attention_of
from mixmae_mm.apis.homologous_maps import recognize
from mixmae_mm.apis.model import build_encoder, build_pretrainer
from mixmae_mm.apis.portable import PortableEncoder
from mixmae_mm.apis.reconstruction_inferencer import mix_once, reconstruct
from mixmae_mm.datasets.sampled_images import choose_images
from mixmae_mm.evaluation.labeled_images import extract
from mixmae_mm.visualization import describe, draw_rows
from mixmae_mm.visualization.homologous_grid import draw_homologous


def states():
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


def pixels():
    return np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)


class Drawing(torch.utils.data.Dataset):
    """Images that draw from each of the three generators."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return dict(inputs=torch.rand(3) + random.random() + np.random.rand())


@pytest.fixture
def files(tmp_path):
    return write_files(tmp_path, tiny_mixedae)


@pytest.fixture
def model():
    return build(tiny_mixedae)


@pytest.fixture
def saved(tmp_path, model):
    return save_pretrained(model.backbone, tmp_path / 'hub')


def use(which, files, model, saved):
    """Make a call that uses what was made before; making a model without weights draws them, as it must."""
    config, images = Config.fromfile(files[0]), torch.from_numpy(pixels()).permute(0, 3, 1, 2).float()
    calls = {
        'ReconstructionInferencer': lambda: ReconstructionInferencer(*files, device='cpu'),
        'inferencer(...)': lambda: ReconstructionInferencer(*files, device='cpu')([*pixels()], seed=3),
        'visualize': lambda: ReconstructionInferencer(*files, device='cpu').visualize([*pixels()]),
        'reconstruct': lambda: draw_rows(found := reconstruct(model, images, 3), describe(model, found)),
        'mix_once': lambda: mix_once(model.data_preprocessor, images, 3),
        'recognize': lambda: draw_homologous(recognize(model, images, 3), 4, 5),
        'FeatureExtractor': lambda: FeatureExtractor(model.backbone, image_size=32, device='cpu')([*pixels()]),
        'from_config': lambda: FeatureExtractor.from_config(*files, device='cpu')([*pixels()]),
        'from_file': lambda: FeatureExtractor.from_file(saved / 'model.safetensors', device='cpu')([*pixels()]),
        'get_model': lambda: get_model(pretrained=str(saved / 'model.safetensors')),
        'from_hub': lambda: from_hub(saved),
        'build_encoder': lambda: build_encoder(config, files[1]),
        'build_pretrainer': lambda: build_pretrainer(config, files[1]),
        'attention_of': lambda: attention_of(model.backbone, images),
        'example': lambda: PortableEncoder(model.backbone).example((32, 32)),
        'extract': lambda: extract(
            model.backbone, lambda x: x, DataLoader(TensorDataset(images, torch.arange(4)), 2, shuffle=True)
        ),
        'choose_images': lambda: choose_images(Drawing(), 3, 5),
    }
    calls[which]()


@pytest.mark.parametrize(
    'which',
    [
        'ReconstructionInferencer', 'inferencer(...)', 'visualize', 'reconstruct', 'mix_once', 'recognize',
        'FeatureExtractor', 'from_config', 'from_file', 'get_model', 'from_hub', 'build_encoder',
        'build_pretrainer', 'attention_of', 'example', 'extract', 'choose_images',
    ],
)  # fmt: skip
def test_random_states_are_what_they_were(which, files, model, saved):
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    before = states()
    use(which, files, model, saved)
    assert states() == before


def test_the_seed_alone_decides_what_is_drawn(model):
    images = torch.rand(8, 3, 32, 32) * 255
    first = mix_once(model.data_preprocessor, images, 3).assignment
    torch.rand(7), random.random(), np.random.rand()
    assert torch.equal(mix_once(model.data_preprocessor, images, 3).assignment, first)
    assert not torch.equal(mix_once(model.data_preprocessor, images, 4).assignment, first)


@pytest.mark.parametrize('with_weights', [True, False])
def test_the_log_continues_as_before(files, tmp_path, monkeypatch, with_weights):
    """A logger that is made becomes the current one, to which all that follows is written."""
    monkeypatch.setattr(MMLogger, '_instance_dict', OrderedDict())  # whatever other tests have made
    log = tmp_path / 'run.log'
    logger = MMLogger.get_instance(f'test_the_log_{with_weights}', log_file=str(log), log_level='INFO')
    names, level = [*MMLogger._instance_dict], logger.level
    build_encoder(Config.fromfile(files[0]), files[1] if with_weights else None)
    assert [*MMLogger._instance_dict] == names
    assert MMLogger.get_current_instance() is logger
    assert logger.level == level
    print_log('the program goes on', logger='current')
    assert 'the program goes on' in log.read_text()
