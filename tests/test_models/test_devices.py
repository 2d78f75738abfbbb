"""A step creates its tensors on the device of the images, as PyTorch's device `meta` checks without a GPU.

Only `meta` refuses tensors of two devices everywhere, and whatever waits for the device (`item`, `tolist`, `nonzero`,
`if tensor`). A model on it takes the code paths of a GPU.
"""

import pytest
import torch
from mmengine.registry import MODELS
from tiny_mixmae import SWIN, VIT, tiny_mixedae, tiny_model

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
    assert {p.grad.device.type for p in model.parameters() if p.grad is not None} == {'meta'}
    assert name != 'MixedAE' or 'topk_precision/block_1' in losses


@pytest.mark.parametrize(
    ('window', 'size', 'pad_value'),
    [
        (None, (32, 32), None), (2, (32, 32), -9.0), (2, (40, 24), None), (None, (40, 24), -9.0),
        (None, (37, 51), None), (2, (37, 51), -9.0),
    ],
)  # fmt: skip
def test_images_are_encoded_without_waiting_for_the_device(window, size, pad_value):
    dense = dict(img_size=32, pad_value=pad_value)
    vit = dict(arch=VIT, patch_size=8, **dense)
    for encoder in (
        MixingViT(window_size=window, train_positions=True, out_indices=(0, 1), **vit),
        MixingViT(out_type='avg_featmap', **vit),
        MixMIMSwin(SWIN, patch_size=1, window_sizes=(4, 4, 4, 4), out_indices=(0, 1), **dense),
    ):
        maps = encoder.train().to('meta')(torch.zeros(3, 3, *size, device='meta'))
        assert {x.device.type for x in (*maps, *ViTPyramid(8).to('meta')(maps[:1]))} == {'meta'}
        sum(x.sum() for x in maps).backward()
