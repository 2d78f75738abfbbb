"""Multiply-adds of the plain encoders' pre-training, per clean image (specification, section 6)."""

import pytest
import torch
from counting import multiply_adds, set_zero
from on_meta import on_meta
from tiny_mixmae import mixedae

from mixmae_mm.models.utils import homologous_attention
from mixmae_mm.registry import MODELS

DIMS = dict(small=384, base=768, large=1024)
DECODER = dict(embed_dims=512, depth=8, num_heads=16)


@torch.no_grad()
def giga_multiply_adds(arch, sources, contrast=True, **backbone):
    ratio = None if sources > 1 else 0.75
    config = mixedae(
        dict(arch=arch, **backbone), DIMS[arch], sources, DECODER, grid_size=14, cell_size=16, mask_ratio=ratio
    )
    config |= {} if contrast else dict(contrast=None)
    with on_meta():
        model = MODELS.build(config)
    mixed = set_zero(model).eval().data_preprocessor.mix(torch.zeros(sources, 3, 224, 224))
    return multiply_adds(lambda: model.loss(mixed)) / sources / 1e9


@pytest.mark.slow
@pytest.mark.parametrize(('arch', 'expected'), [('small', 6.51), ('base', 9.78), ('large', 20.76)])
def test_mae(arch, expected):
    assert giga_multiply_adds(arch, 1, attention='global') == pytest.approx(expected, abs=0.01)


@pytest.mark.slow
def test_mixing_costs_no_more_than_mae_and_recognition_less_than_one_percent(monkeypatch):
    mae = giga_multiply_adds('base', 1, attention='global')
    naive = giga_multiply_adds('base', 4, contrast=False, attention='global', segment_embedding=False) / mae
    mixed = giga_multiply_adds('base', 4) / mae
    # pixels are mixed before they are embedded: one embedding per mixture, not one per image
    embedding = 3 * 196 * 768 * 768 / 4 / 1e9 / mae
    assert naive + embedding == pytest.approx(1.007, abs=0.002)
    contrast = 196 * 196 * 768 / 4 / 1e9 / mae  # keys are chosen by logits that attention has anyway
    assert mixed - naive == pytest.approx(contrast, abs=1e-4)
    monkeypatch.setattr(homologous_attention, 'runs_plainly', lambda x: False)  # elsewhere by logits of their own
    choice = 11 * 196 * 196 * 768 / 4 / 1e9 / mae
    assert giga_multiply_adds('base', 4) / mae - mixed == pytest.approx(choice, abs=1e-4)
