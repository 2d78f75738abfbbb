"""Settings of hooks, transforms, samplers, datasets and layer decay, drawn at random: each works or raises.

Those of models: tests/test_models/test_settings.py. `EXAMPLES=2000 pytest tests/test_odd_settings.py` tries more.
"""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import training_toys  # noqa: F401  registers what toy_config names
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from odd_settings import EXAMPLES, attempt, draw_odd, settings_of, told_by_us
from PIL import Image
from tiny_mixmae import tiny_model
from training_toys import toy_config

import mixmae_mm.engine.hooks  # noqa: F401  registers the hooks
from mixmae_mm import datasets
from mixmae_mm.registry import DATA_SAMPLERS, DATASETS, HOOKS, TRANSFORMS


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Some odd settings are relative paths."""
    monkeypatch.chdir(tmp_path)


def ours(registry):
    """List our classes of a registry that can be set to something."""
    found = [kind for kind in registry._module_dict.values() if kind.__module__.startswith('mixmae_mm.')]
    return [kind for kind in found if settings_of(kind)]


def check_kind(kind, work, needed=None, skipped=(), examples=EXAMPLES):
    """Draw settings of a class; `work` builds and uses it."""

    def check(name, value):
        _, error = attempt(work, (needed or {}) | {name: value})
        assert error is None or told_by_us(error), f'{kind.__name__}({name}={value!r}): {error!r}'

    draw_odd([name for name in settings_of(kind) if name not in skipped], check, examples)


@pytest.mark.parametrize('kind', ours(HOOKS), ids=lambda kind: kind.__name__)
def test_hooks_train_or_raise(tmp_path, kind):
    number = itertools.count()

    def train(settings):
        config = toy_config(tmp_path / str(next(number)), train_cfg=dict(by_epoch=True, max_epochs=1))
        config.default_hooks.odd = dict(type=f'mixmae_mm.{kind.__name__}', **settings)
        Runner.from_cfg(config).train()

    check_kind(kind, train, examples=EXAMPLES // 3)


@pytest.fixture
def image(tmp_path):
    """A photo and an array of two bands, by extension."""
    Image.effect_noise((40, 30), 60).convert('RGB').save(tmp_path / 'photo.jpg')
    np.save(tmp_path / 'bands.npy', np.ones((30, 40, 2), np.uint16))
    file = str(tmp_path / 'bands.npy')
    return dict(LoadMultispectral=file, LoadMultispectralRandomResizedCrop=file)


@pytest.mark.parametrize('kind', ours(TRANSFORMS), ids=lambda kind: kind.__name__)
def test_transforms_read_or_raise(image, tmp_path, kind):
    init_default_scope('mmpretrain')
    path = image.get(kind.__name__, str(tmp_path / 'photo.jpg'))

    def read(settings):
        assert kind(**settings)(dict(img_path=path))['img'].size

    check_kind(kind, read, dict(scale=16) if 'scale' in settings_of(kind) else {})


@pytest.mark.parametrize('kind', ours(DATA_SAMPLERS), ids=lambda kind: kind.__name__)
def test_samplers_draw_or_raise(kind):
    def draw(settings):
        assert len(list(itertools.islice(kind(**dict(dataset=range(8)) | settings), 8))) == 8

    check_kind(kind, draw, skipped=['dataset'])


@pytest.mark.parametrize('kind', ours(DATASETS), ids=lambda kind: kind.__name__)
def test_datasets_read_or_raise(tmp_path, kind):
    where = place_of(kind, tmp_path)

    def read(settings):
        dataset = kind(**dict(data_root=where, pipeline=[datasets.LoadImage()]) | settings)
        assert dataset[0]['img'].shape == (30, 40, 3)

    read({})
    check_kind(kind, read, skipped=['pipeline', 'indices'])


def test_layer_decay_scales_or_raises():
    init_default_scope('mmpretrain')
    model = MODELS.build(tiny_model())

    def check(name, value):
        paramwise = dict(layer_decay_rate=0.7) | {name: value}
        constructor = dict(constructor='mixmae_mm.LayerDecayOptimWrapperConstructor', paramwise_cfg=paramwise)
        settings = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05), **constructor)
        wrapper, error = attempt(build_optim_wrapper, model, settings)
        if error is not None:
            assert told_by_us(error), f'{name}={value!r}: {error!r}'
        else:
            rates = [group['lr'] for group in wrapper.optimizer.param_groups]
            assert all(0 < rate < math.inf for rate in rates), f'{name}={value!r}: {rates}'

    draw_odd(['layer_decay_rate', 'head_decay', 'no_decay'], check)


def place_of(kind, folder):
    """Write two photos as a dataset reads them."""
    (folder / 'set').mkdir()
    for name in 'ab':
        Image.effect_noise((40, 30), 60).convert('RGB').save(folder / f'set/{name}.png')
    files = sorted(Path(folder, 'set').iterdir())
    if kind is datasets.HuggingFaceImages:
        tables = pytest.importorskip('datasets', reason='needs datasets')
        table = tables.Dataset.from_dict(dict(image=[str(file) for file in files]))
        table.cast_column('image', tables.Image()).save_to_disk(str(folder / 'table'))
        return str(folder / 'table')
    return str(folder / 'set')
