"""Who runs against whom in `bench.py`: models of base size at 224 px, ours beside what a user would take instead."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor, nn

from mixmae_mm.engine.hooks.compile_backbone import compile_backbone
from mixmae_mm.models.backbones.swin_archs import ARCHS as SWINS
from mixmae_mm.models.backbones.vit_archs import ARCHS as VITS

SIZE = 224
DIMS, DEPTH, HEADS = 768, 12, 12  # of ViT-B


@dataclass(frozen=True)
class Contender:
    """A model, and how its loss is had from normalized images (B, 3, H, W)."""

    build: Callable[[], nn.Module]
    loss: Callable[[nn.Module, Tensor], Tensor]
    few: int = 4
    """Images of a step that only warms up: one that the model can group."""
    size: int = SIZE
    """Height and width of an image in pixels."""


def _build(settings: dict) -> nn.Module:
    """Build by the host's registry, whose own short names the peers' parts have."""
    init_default_scope('mmpretrain')
    return MODELS.build(settings)


def _ours(sources: int, **settings: dict) -> Contender:
    """A pre-training model of ours: images are mixed in the step, as in training."""

    def loss(model: nn.Module, images: Tensor) -> Tensor:
        losses = model.loss(model.data_preprocessor.mix(images))
        return sum(value for name, value in losses.items() if name.startswith('loss'))

    return Contender(lambda: _build(settings), loss, 4 if 4 % sources == 0 else sources)


def _peer(**settings: dict) -> Contender:
    """A pre-training model of mmpretrain."""
    return Contender(lambda: _build(settings), lambda model, images: model.loss(images, [])['loss'])


def mixmae(arch: str = 'base', size: int = SIZE, sources: int = 2, **backbone: object) -> Contender:
    """MixMAE as pre-trained: each source leads a mixture, one map a batch."""
    return _ours(
        sources,
        type='mixmae_mm.MixMAE',
        data_preprocessor=dict(type='mixmae_mm.MixingDataPreprocessor', num_sources=sources),
        backbone=dict(type='mixmae_mm.MixMIMSwin', arch=arch, img_size=size, **backbone),
        neck=dict(type='mixmae_mm.MixDecoder', in_channels=SWINS[arch]['embed_dims'] * 8, grid_size=size // 32),
        head=dict(type='mixmae_mm.MixReconstructionHead'),
    )


def mixedae(sources: int, recognition: bool = False, arch: str = 'base', size: int = SIZE) -> Contender:
    """MixedAE, naive mixing, or with one source MAE, with MAE's decoder."""
    contrast = dict(type='mixmae_mm.HomologousContrastiveLoss') if recognition else None
    dims = VITS[arch]['embed_dims']
    return _ours(
        sources,
        type='mixmae_mm.MixedAE',
        data_preprocessor=dict(
            type='mixmae_mm.MixingDataPreprocessor',
            num_sources=sources,
            cell_size=16,
            mask_ratio=0.75 if sources == 1 else None,
            take_turns=False,
            shared_assignment=False,
        ),
        backbone=dict(
            type='mixmae_mm.MixingViT',
            arch=arch,
            img_size=size,
            num_sources=sources,
            attention='homologous' if recognition else 'global',
            segment_embedding=recognition,
        ),
        neck=dict(type='mixmae_mm.MixDecoder', in_channels=dims, grid_size=size // 16, cell_size=16, cls_token=True),
        head=dict(type='mixmae_mm.MixReconstructionHead', cell_size=16),
        contrast=contrast,
    )


def _compiled(contender: Contender) -> Contender:
    """The same with its encoder compiled, in the first step."""

    def build() -> nn.Module:
        model = contender.build()
        compile_backbone(model.backbone)
        return model

    return replace(contender, build=build)


def _vit() -> Contender:
    """Our plain encoder, on whole images."""
    return Contender(
        lambda: _build(dict(type='mixmae_mm.MixingViT', arch='base')), lambda model, x: model(x)[0].square().mean()
    )


def _pytorch_vit() -> Contender:
    """PyTorch's own transformer blocks between a convolution and a LayerNorm."""

    def build() -> nn.Module:
        settings = dict(activation='gelu', batch_first=True, norm_first=True, dropout=0.0)
        block = nn.TransformerEncoderLayer(DIMS, HEADS, 4 * DIMS, **settings)
        blocks = nn.TransformerEncoder(block, DEPTH, norm=nn.LayerNorm(DIMS), enable_nested_tensor=False)
        return nn.ModuleDict(dict(embed=nn.Conv2d(3, DIMS, 16, stride=16), blocks=blocks))

    def loss(model: nn.Module, images: Tensor) -> Tensor:
        tokens = model['embed'](images).flatten(2).transpose(1, 2)
        tokens = torch.cat([tokens[:, :1], tokens], dim=1)  # as many as with a CLS token
        return model['blocks'](tokens).square().mean()

    return Contender(build, loss)


PIXELS = dict(type='PixelReconstructionLoss', criterion='L2')
MIXMIM = _peer(
    type='mmpretrain.MixMIM',
    backbone=dict(type='MixMIMPretrainTransformer', arch='B', drop_rate=0.0, drop_path_rate=0.0),
    neck=dict(type='MixMIMPretrainDecoder', num_patches=49, encoder_stride=32, embed_dim=1024),
    head=dict(type='MixMIMPretrainHead', norm_pix=True, loss=PIXELS),
)
MAE = _peer(
    type='mmpretrain.MAE',
    backbone=dict(type='MAEViT', arch='b', patch_size=16, mask_ratio=0.75),
    neck=dict(type='MAEPretrainDecoder', embed_dim=DIMS),
    head=dict(type='MAEPretrainHead', norm_pix=True, patch_size=16, loss=PIXELS),
)

SUITES = {
    'mixmae': {
        'MixMIM (mmpretrain)': MIXMIM,
        'MixMAE': mixmae(),
        'MixMAE, checkpointing': mixmae(with_cp=True),
    },
    'mae': {'MAE (mmpretrain)': MAE, 'MAE': mixedae(1)},
    'mixedae': {'MAE': mixedae(1), 'naive mixing': mixedae(4), 'MixedAE': mixedae(4, recognition=True)},
    'compiled': {
        'MixMAE': mixmae(),
        'MixMAE, compiled': _compiled(mixmae()),
        'MixedAE': mixedae(4, recognition=True),
        'MixedAE, compiled': _compiled(mixedae(4, recognition=True)),
    },
    'vit': {'ViT-B (PyTorch blocks)': _pytorch_vit(), 'ViT-B': _vit()},
}
"""What is compared; the first of each suite is what the others are measured by."""
