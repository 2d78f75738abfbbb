"""Pre-training on images that are not square, of any number of bands, and mixed in blocks of cells."""

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from mixmae_mm.models import MixingDataPreprocessor

SIZE = (224, 320)
BANDS = 5
MEAN, STD = [10.0 * band for band in range(BANDS)], [1.0 + band for band in range(BANDS)]


def decoder(in_channels, cell_size, cls_token=False):
    grid = (SIZE[0] // cell_size, SIZE[1] // cell_size)
    sizes = dict(in_channels=in_channels, grid_size=grid, cell_size=cell_size, image_channels=BANDS)
    return dict(type='mixmae_mm.MixDecoder', embed_dims=16, depth=1, num_heads=2, cls_token=cls_token, **sizes)


def mixer(cell_size, **settings):
    return dict(type='mixmae_mm.MixingDataPreprocessor', mean=MEAN, std=STD, cell_size=cell_size, **settings)


def mixmae(**settings):
    arch = dict(embed_dims=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2))
    return dict(
        type='mixmae_mm.MixMAE',
        data_preprocessor=mixer(32, **settings),
        backbone=dict(type='mixmae_mm.MixMIMSwin', arch=arch, img_size=SIZE, in_channels=BANDS),
        neck=decoder(64, 32),
        head=dict(type='mixmae_mm.MixReconstructionHead', cell_size=32),
    )


def mixedae(num_sources=4, **settings):
    arch = dict(embed_dims=16, depth=2, num_heads=2)
    vit = dict(type='mixmae_mm.MixingViT', arch=arch, img_size=SIZE, in_channels=BANDS, num_sources=num_sources)
    return dict(
        type='mixmae_mm.MixedAE',
        data_preprocessor=mixer(16, num_sources=num_sources, take_turns=False, shared_assignment=False, **settings),
        backbone=vit,
        neck=decoder(16, 16, cls_token=True),
        head=dict(type='mixmae_mm.MixReconstructionHead', cell_size=16),
        contrast=None if num_sources == 1 else dict(type='mixmae_mm.HomologousContrastiveLoss'),
    )


def mae(**settings):
    return mixedae(num_sources=1, mask_ratio=0.75, **settings)


def build(config):
    torch.manual_seed(0)
    init_default_scope('mmpretrain')
    return MODELS.build(config)


def random_images(number):
    return torch.randint(0, 256, (number, BANDS, *SIZE), dtype=torch.uint8)


CELLS = {mixmae: (7, 10), mixedae: (14, 20), mae: (14, 20)}


@pytest.mark.parametrize('block_size', [1, 2])
@pytest.mark.parametrize('method', CELLS)
def test_a_step_reaches_every_weight(method, block_size):
    if method is mixmae and block_size == 2:
        pytest.skip('7 cells cannot be cut into blocks of 2')
    model = build(method(block_size=block_size))
    images = model.data_preprocessor(dict(inputs=random_images(4)), training=True)['inputs']
    assert tuple(images.assignment.shape[1:]) == CELLS[method]
    losses = model(images, mode='loss')
    sum(value for name, value in losses.items() if name.startswith('loss')).backward()
    assert all(torch.isfinite(value).all() for value in losses.values())
    trained = {name: weight.grad for name, weight in model.named_parameters() if weight.requires_grad}
    assert not [name for name, grad in trained.items() if grad is None or not grad.isfinite().all() or not grad.any()]


def test_nothing_of_one_image_gets_into_the_features_of_the_other():
    model = build(mixmae()).eval()
    images = model.data_preprocessor(dict(inputs=random_images(2)), training=True)['inputs']
    pixels = images.assignment.repeat_interleave(32, 1).repeat_interleave(32, 2)[:, None]
    with torch.no_grad():
        before = model.backbone(images.mixed, images.assignment)[-1]
        changed = torch.where(pixels == 1, -images.mixed, images.mixed)
        after = model.backbone(changed, images.assignment)[-1]
    own = (images.assignment == 0)[:, None].expand_as(before)
    assert torch.equal(before[own], after[own])
    assert not torch.isclose(before[~own], after[~own]).any(dim=0).all()


@pytest.mark.parametrize('settings', [dict(num_sources=2), dict(num_sources=1, mask_ratio=0.75)])
def test_blocks_are_cells_of_their_size(settings):
    """Mixing blocks of 2 cells of 16 pixels hides what mixing cells of 32 does, with the same draws."""
    batch = dict(inputs=torch.randint(0, 256, (4, 3, 64, 96), dtype=torch.uint8))
    mixed = []
    for cell_size, block_size in [(16, 2), (32, 1)]:
        torch.manual_seed(3)
        preprocessor = MixingDataPreprocessor(cell_size=cell_size, block_size=block_size, **settings)
        mixed.append(preprocessor(batch, training=True)['inputs'])
    fine, coarse = mixed
    assert torch.equal(fine.mixed, coarse.mixed)
    assert torch.equal(fine.assignment[:, ::2, ::2], coarse.assignment)
    assert torch.equal(fine.assignment[:, 1::2, 1::2], coarse.assignment)
    assert fine.assignment.shape[1:] == (4, 6)
    if settings['num_sources'] == 1:
        shown = [torch.nonzero(row >= 0)[:, 0] for row in fine.assignment.flatten(1)]
        assert torch.equal(fine.ids_keep, torch.stack(shown))


def test_images_that_blocks_would_cut():
    preprocessor = MixingDataPreprocessor(cell_size=16, block_size=2)
    message = '^images of 64 x 80 pixels cannot be cut into cells of 32 x 32 .* multiples of 32$'
    with pytest.raises(ValueError, match=message):
        preprocessor(dict(inputs=torch.zeros(2, 3, 64, 80)), training=True)
