"""Multiply-adds of the plain encoders' pre-training, per clean image (specification, section 6)."""

import pytest
import torch
from counting import multiply_adds, set_zero
from on_meta import on_meta

from mixmae_mm.models.utils import homologous_attention
from mixmae_mm.registry import MODELS

DIMS = dict(small=384, base=768, large=1024)


def build(arch, sources, contrast=None, **backbone):
    preprocessor = dict(num_sources=sources, cell_size=16, take_turns=False, shared_assignment=False)
    config = dict(
        type='mixmae_mm.MixedAE',
        data_preprocessor=dict(
            type='mixmae_mm.MixingDataPreprocessor', mask_ratio=None if sources > 1 else 0.75, **preprocessor
        ),
        backbone=dict(type='mixmae_mm.MixingViT', arch=arch, num_sources=sources, **backbone),
        neck=dict(type='mixmae_mm.MixDecoder', in_channels=DIMS[arch], grid_size=14, cell_size=16, cls_token=True),
        head=dict(type='mixmae_mm.MixReconstructionHead', cell_size=16),
        contrast=contrast,
    )
    with on_meta():
        model = MODELS.build(config)
    return set_zero(model)


@torch.no_grad()
def giga_multiply_adds(model):
    images = torch.zeros(model.data_preprocessor.num_sources, 3, 224, 224)
    mixed = model.eval().data_preprocessor.mix(images)
    return multiply_adds(lambda: model.loss(mixed)) / len(images) / 1e9


@pytest.mark.slow
@pytest.mark.parametrize(('arch', 'expected'), [('small', 6.51), ('base', 9.78), ('large', 20.76)])
def test_mae(arch, expected):
    assert giga_multiply_adds(build(arch, 1, attention='global')) == pytest.approx(expected, abs=0.01)


@pytest.mark.slow
def test_mixing_costs_no_more_than_mae_and_recognition_less_than_one_percent(monkeypatch):
    mae = giga_multiply_adds(build('base', 1, attention='global'))
    naive = giga_multiply_adds(build('base', 4, attention='global', segment_embedding=False)) / mae
    mixedae = giga_multiply_adds(build('base', 4, dict(type='mixmae_mm.HomologousContrastiveLoss'))) / mae
    # pixels are mixed before they are embedded: one embedding a mixture, not one an image
    embedding = 3 * 196 * 768 * 768 / 4 / 1e9 / mae
    assert naive + embedding == pytest.approx(1.007, abs=0.002)
    contrast = 196 * 196 * 768 / 4 / 1e9 / mae  # keys are chosen by logits that attention has anyway
    assert mixedae - naive == pytest.approx(contrast, abs=1e-4)
    monkeypatch.setattr(homologous_attention, 'runs_plainly', lambda x: False)  # elsewhere by logits of their own
    elsewhere = giga_multiply_adds(build('base', 4, dict(type='mixmae_mm.HomologousContrastiveLoss'))) / mae
    choice = 11 * 196 * 196 * 768 / 4 / 1e9 / mae
    assert elsewhere - mixedae == pytest.approx(choice, abs=1e-4)
