"""What a step makes, it makes on the device of the images: told by PyTorch's device without memory, not by a GPU.

Only `meta` refuses tensors of two devices everywhere; a model on it goes the ways of a GPU, since they are not a CPU's.
"""

import pytest
import torch
from mmengine.registry import MODELS
from tiny_mixmae import tiny_mixedae, tiny_model

from mixmae_mm.models import MixingViT, MixMIMSwin, ViTPyramid

MODELS_HERE = {
    'MixMAE': tiny_model(),
    'MixMAE, a map each': tiny_model(shared_assignment=False),
    'MixMAE, four sources': tiny_model(num_sources=4),
    'MixedAE': tiny_mixedae(),
    'MAE': tiny_mixedae(1, mask_ratio=0.75),
}


@pytest.mark.parametrize('name', MODELS_HERE)
def test_a_step_stays_on_its_device(name):
    model = MODELS.build(MODELS_HERE[name]).train().to('meta')
    images = [torch.zeros(3, 32, 32, dtype=torch.uint8, device='meta') for _ in range(8)]
    losses = model(**model.data_preprocessor(dict(inputs=images), True), mode='loss')
    assert {loss.device.type for loss in losses.values()} == {'meta'}
    sum(loss for key, loss in losses.items() if 'loss' in key).backward()
    trained = [p for p in model.parameters() if p.requires_grad]
    assert {p.grad.device.type for p in trained if p.grad is not None} == {'meta'}
    if name.startswith('MixedAE'):
        assert any(key.startswith('topk_precision') for key in losses)


@pytest.mark.parametrize('window', [None, 2])
def test_whole_images_stay_on_their_device(window):
    arch = dict(embed_dims=8, depth=2, num_heads=2)
    vit = MixingViT(arch, patch_size=8, img_size=32, window_size=window)
    arch = dict(embed_dims=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2))
    swin = MixMIMSwin(arch, img_size=32, patch_size=1, window_sizes=(4, 4, 4, 4))
    for encoder in (vit, swin):
        maps = encoder.to('meta')(torch.zeros(2, 3, 40, 24, device='meta'))
        assert {x.device.type for x in maps} == {'meta'}


@pytest.mark.parametrize('size', [(32, 32), (40, 24), (37, 51)])
@pytest.mark.parametrize('window', [None, 2])
def test_padded_images_are_encoded_without_waiting_for_the_device(window, size):
    """Whatever asks the device for a number (`item`, `tolist`, `nonzero`, `if tensor`) fails on `meta`."""
    arch = dict(embed_dims=8, depth=2, num_heads=2)
    dense = dict(pad_value=-9.0, out_indices=(0, 1))
    vit = MixingViT(arch, patch_size=8, img_size=32, window_size=window, train_positions=True, **dense)
    pooled = MixingViT(arch, patch_size=8, img_size=32, out_type='avg_featmap', pad_value=-9.0)
    arch = dict(embed_dims=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2))
    swin = MixMIMSwin(arch, img_size=32, patch_size=1, window_sizes=(4, 4, 4, 4), **dense)
    for encoder in (vit, pooled, swin):
        maps = encoder.train().to('meta')(torch.zeros(3, 3, *size, device='meta'))
        assert {x.device.type for x in ViTPyramid(8).to('meta')(maps[:1])} == {'meta'}
        sum(x.sum() for x in maps).backward()
