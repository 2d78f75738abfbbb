"""Pre-training on images that are not square, of any number of channels, and mixed in blocks of cells."""

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from tiny_mixmae import SWIN, VIT, mixedae, mixmae

from mixmae_mm.models import MixingDataPreprocessor

SIZE = (224, 320)
CHANNELS = 5
SETTINGS = dict(
    mean=[10.0 * channel for channel in range(CHANNELS)], std=[1.0 + channel for channel in range(CHANNELS)]
)
ENCODER = dict(img_size=SIZE, in_channels=CHANNELS)


def swin(size=SIZE, depth=1, **settings):
    grid = size[0] // 32, size[1] // 32
    sizes = dict(grid_size=grid, cell_size=32, neck=dict(image_channels=CHANNELS, depth=depth))
    return mixmae(dict(arch=SWIN, **ENCODER) | dict(img_size=size), 64, **sizes, **SETTINGS, **settings)


def vit(num_sources=4, **settings):
    sizes = dict(grid_size=(14, 20), cell_size=16, neck=dict(image_channels=CHANNELS))
    return mixedae(dict(arch=VIT, **ENCODER), 8, num_sources, **sizes, **SETTINGS, **settings)


@pytest.mark.parametrize(
    'config',
    [
        *(swin(), swin((256, 320), depth=2, block_size=2), vit(), vit(block_size=2)),
        *(vit(1, mask_ratio=0.75), vit(1, mask_ratio=0.75, block_size=2)),
    ],
    ids=['MixMAE', 'MixMAE in blocks, deeper', 'MixedAE', 'MixedAE in blocks', 'MAE', 'MAE in blocks'],
)
def test_a_step_reaches_every_weight(config):
    init_default_scope('mmpretrain')
    size, block = config['backbone']['img_size'], config['data_preprocessor'].get('block_size', 1)
    model, pixels = MODELS.build(config), torch.randint(0, 256, (4, CHANNELS, *size), dtype=torch.uint8)
    images = model.data_preprocessor(dict(inputs=pixels), training=True)['inputs']
    assert tuple(images.assignment.shape[1:]) == config['neck']['grid_size']
    blocks = images.assignment.unflatten(2, (-1, block)).unflatten(1, (-1, block))
    assert (blocks == blocks[:, :, :1, :, :1]).all()
    losses = model(images, mode='loss')
    sum(value for name, value in losses.items() if name.startswith('loss')).backward()
    assert all(torch.isfinite(value).all() for value in losses.values())
    trained = {name: weight.grad for name, weight in model.named_parameters() if weight.requires_grad}
    assert not [name for name, grad in trained.items() if grad is None or not grad.isfinite().all() or not grad.any()]


@pytest.mark.parametrize('settings', [dict(num_sources=2), dict(num_sources=1, mask_ratio=0.75)])
def test_blocks_are_cells_of_their_size(settings):
    """Blocks of 2 cells of 16 pixels are mixed as cells of 32 are, with the same draws."""
    batch, mixed = dict(inputs=torch.randint(0, 256, (4, 3, 64, 96), dtype=torch.uint8)), []
    for cell_size, block_size in [(16, 2), (32, 1)]:
        torch.manual_seed(3)
        preprocessor = MixingDataPreprocessor(cell_size=cell_size, block_size=block_size, **settings)
        mixed.append(preprocessor(batch, training=True)['inputs'])
    fine, coarse = mixed
    assert torch.equal(fine.mixed, coarse.mixed)
    assert torch.equal(fine.assignment, coarse.assignment.repeat_interleave(2, 1).repeat_interleave(2, 2))
    if settings['num_sources'] == 1:
        visible = [torch.nonzero(row >= 0)[:, 0] for row in fine.assignment.flatten(1)]
        assert torch.equal(fine.ids_keep, torch.stack(visible))
