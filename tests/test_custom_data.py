"""docs/data.md: its config for images of five bands trains."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r'```python\n(.*?)```', (ROOT / 'docs/data.md').read_text(), re.DOTALL)


@pytest.fixture
def config(tmp_path):
    """The page's config, of a small encoder, for eight files in the page's two formats."""
    (text,) = (block for block in BLOCKS if block.startswith('_base_'))
    path = tmp_path / 'bands.py'
    path.write_text(text.replace("'./", f"'{ROOT}/configs/mixmae/"))
    config = Config.fromfile(path)
    assert config.train_dataloader.dataset.extensions == ['.tif', '.npy']
    for number in range(8):
        pixels = np.random.default_rng(number).integers(0, 4000, (40, 50, 5), dtype=np.uint16)
        np.save(tmp_path / f'{number}.npy', pixels.astype(np.float32) if number % 2 else pixels)
    config.train_dataloader.dataset.data_root = str(tmp_path)
    config.train_dataloader.update(batch_size=4, num_workers=0, persistent_workers=False)
    config.model.backbone.arch = dict(embed_dims=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2))
    config.model.neck.update(in_channels=64, embed_dims=16, depth=1, num_heads=2)
    return config


def test_five_bands_train(config):
    init_default_scope('mmpretrain')
    batches = list(Runner.build_dataloader(config.train_dataloader, seed=0))
    assert len(batches) == 2
    inputs = torch.cat([batch['inputs'] for batch in batches])
    assert (inputs.shape, inputs.dtype) == ((8, 5, 224, 224), torch.float32)
    assert 1900 < inputs.mean() < 2100
    model = MODELS.build(config.model)
    losses = model(**model.data_preprocessor(batches[0], training=True), mode='loss')
    losses['loss_reconstruction'].backward()
    assert torch.isfinite(losses['loss_reconstruction'])
    assert model.backbone.patch_embed.proj.weight.grad.abs().amax(dim=(0, 2, 3)).min() > 0


def test_the_config_for_oblong_images_fits_together():
    (text,) = (block for block in BLOCKS if 'grid_size' in block)
    settings = {}
    exec(text, settings)
    model = settings['model']
    assert tuple(side // 32 for side in model['backbone']['img_size']) == model['neck']['grid_size']
