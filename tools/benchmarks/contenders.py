"""Models that `bench.py` compares, of base size at 224 px: ours, and what a user might take instead."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor, nn

from mixmae_mm.engine.hooks.compile_backbone import compile_backbone
from mixmae_mm.models.backbones.archs import SWIN_ARCHS, VIT_ARCHS

SIZE = 224
PIXELS = dict(type='PixelReconstructionLoss', criterion='L2')


@dataclass(frozen=True)
class Contender:
    """A model, and how its loss is computed from normalized images (B, 3, H, W)."""

    build: Callable[[], nn.Module]
    loss: Callable[[nn.Module, Tensor], Tensor]
    few: int = 4
    """Number of images for a warm-up step; the model must be able to group them."""


def _build(settings: dict) -> nn.Module:
    """Build in mmpretrain's scope, where its own types have short names."""
    init_default_scope('mmpretrain')
    return MODELS.build(settings)


def _ours(sources: int, **settings: dict) -> Contender:
    """Make a pre-training model of ours, which mixes images in the step, as in training."""

    def loss(model: nn.Module, images: Tensor) -> Tensor:
        losses = model.loss(model.data_preprocessor.mix(images))
        return sum(value for name, value in losses.items() if name.startswith('loss'))

    return Contender(lambda: _build(settings), loss, 4 if 4 % sources == 0 else sources)


def _peer(**settings: dict) -> Contender:
    """Make a pre-training model of mmpretrain."""
    return Contender(lambda: _build(settings), lambda model, images: model.loss(images, [])['loss'])


def mixmae(
    arch: str | dict = 'base', size: int = SIZE, sources: int = 2, decoder: dict | None = None, **backbone: object
) -> Contender:
    """Make MixMAE as in pre-training: each source leads a mixture, and the batch shares one assignment."""
    dims = (SWIN_ARCHS[arch] if isinstance(arch, str) else arch)['embed_dims']
    return _ours(
        sources,
        type='mixmae_mm.MixMAE',
        data_preprocessor=dict(type='mixmae_mm.MixingDataPreprocessor', num_sources=sources),
        backbone=dict(type='mixmae_mm.MixMIMSwin', arch=arch, img_size=size, **backbone),
        neck=dict(type='mixmae_mm.MixDecoder', in_channels=dims * 8, grid_size=size // 32, **(decoder or {})),
        head=dict(type='mixmae_mm.MixReconstructionHead'),
    )


def mixedae(
    sources: int, recognition: bool = False, arch: str | dict = 'base', size: int = SIZE, decoder: dict | None = None
) -> Contender:
    """Make MixedAE (with `recognition`), naive mixing or, with one source, MAE, all with MAE's decoder."""
    mixing = dict(num_sources=sources, take_turns=False, shared_assignment=False)
    backbone = dict(
        type='mixmae_mm.MixingViT',
        arch=arch,
        img_size=size,
        num_sources=sources,
        attention='homologous' if recognition else 'global',
        segment_embedding=recognition,
    )
    dims = (VIT_ARCHS[arch] if isinstance(arch, str) else arch)['embed_dims']
    neck = dict(in_channels=dims, grid_size=size // 16, cell_size=16, cls_token=True) | (decoder or {})
    return _ours(
        sources,
        type='mixmae_mm.MixedAE',
        data_preprocessor=dict(
            type='mixmae_mm.MixingDataPreprocessor', cell_size=16, mask_ratio=0.75 if sources == 1 else None, **mixing
        ),
        backbone=backbone,
        neck=dict(type='mixmae_mm.MixDecoder', **neck),
        head=dict(type='mixmae_mm.MixReconstructionHead', cell_size=16),
        contrast=dict(type='mixmae_mm.HomologousContrastiveLoss') if recognition else None,
    )


def mixmim(arch: str | dict = 'B', dims: int = 128, size: int = SIZE, **backbone: object) -> Contender:
    """Make mmpretrain's MixMIM; `dims` are the channels of its first stage."""
    return _peer(
        type='mmpretrain.MixMIM',
        backbone=dict(
            type='MixMIMPretrainTransformer', arch=arch, img_size=size, drop_rate=0.0, drop_path_rate=0.0, **backbone
        ),
        neck=dict(type='MixMIMPretrainDecoder', num_patches=(size // 32) ** 2, encoder_stride=32, embed_dim=dims * 8),
        head=dict(type='MixMIMPretrainHead', norm_pix=True, loss=PIXELS),
    )


def mae(arch: str | dict = 'b', dims: int = 768, size: int = SIZE) -> Contender:
    """Make mmpretrain's MAE; `dims` are the channels of its encoder."""
    return _peer(
        type='mmpretrain.MAE',
        backbone=dict(type='MAEViT', arch=arch, img_size=size, patch_size=16, mask_ratio=0.75),
        neck=dict(type='MAEPretrainDecoder', num_patches=(size // 16) ** 2, embed_dim=dims),
        head=dict(type='MAEPretrainHead', norm_pix=True, patch_size=16, loss=PIXELS),
    )


def _alone(encoder: dict) -> Contender:
    """Make an encoder of a library alone, on plain images, with a loss on all of its outputs."""
    return Contender(lambda: _build(encoder), lambda model, x: sum(y.square().mean() for y in model(x)))


def _by_source(encoder: dict) -> Contender:
    """Make the same encoder on mixtures, with attention masked by source, in a MixMAE whose decoder is not run."""

    def loss(model: nn.Module, images: Tensor) -> Tensor:
        return sum(y.square().mean() for y in model.encode(model.data_preprocessor.mix(images)))

    settings = dict(
        type='mixmae_mm.MixMAE',
        data_preprocessor=dict(type='mixmae_mm.MixingDataPreprocessor'),
        backbone=encoder,
        neck=dict(type='mixmae_mm.MixDecoder', in_channels=16, grid_size=7, embed_dims=8, depth=1, num_heads=1),
        head=dict(type='mixmae_mm.MixReconstructionHead'),
    )
    return Contender(lambda: _build(settings), loss)


def _compiled(contender: Contender) -> Contender:
    """Make the same contender with a compiled encoder; it is compiled in the first step."""

    def build() -> nn.Module:
        model = contender.build()
        compile_backbone(model.backbone)
        return model

    return replace(contender, build=build)


def _pytorch_vit() -> nn.Module:
    """Build PyTorch's own transformer blocks of ViT-B between a convolution and a LayerNorm."""
    block = nn.TransformerEncoderLayer(768, 12, 4 * 768, 0.0, 'gelu', batch_first=True, norm_first=True)
    blocks = nn.TransformerEncoder(block, 12, norm=nn.LayerNorm(768), enable_nested_tensor=False)
    return nn.ModuleDict(dict(embed=nn.Conv2d(3, 768, 16, stride=16), blocks=blocks))


def _pytorch_vit_loss(model: nn.Module, images: Tensor) -> Tensor:
    """Compute a loss on as many tokens as with a CLS token."""
    tokens = model['embed'](images).flatten(2).transpose(1, 2)
    return model['blocks'](torch.cat([tokens[:, :1], tokens], dim=1)).square().mean()


VIT = Contender(
    lambda: _build(dict(type='mixmae_mm.MixingViT', arch='base')), lambda model, x: model(x)[0].square().mean()
)
OURS = {'MixMAE': mixmae(), 'MixedAE': mixedae(4, recognition=True)}

STOCK = {
    'Swin-T': dict(type='mmpretrain.SwinTransformer', arch='tiny', img_size=SIZE, drop_path_rate=0.0),
    'Twins-SVT-S': dict(type='mmpretrain.SVT', arch='small', drop_path_rate=0.0, out_indices=(3,)),
    'PVT-S': dict(type='mmdet.PyramidVisionTransformer', drop_path_rate=0.0, out_indices=(3,)),
}

SUITES = {
    'mixmae': {
        'MixMIM (mmpretrain)': mixmim(),
        'MixMAE': OURS['MixMAE'],
        'MixMAE, checkpointing': mixmae(with_cp=True),
    },
    'mae': {'MAE (mmpretrain)': mae(), 'MAE': mixedae(1)},
    'mixedae': {'MAE': mixedae(1), 'naive mixing': mixedae(4), 'MixedAE': OURS['MixedAE']},
    'compiled': OURS | {f'{name}, compiled': _compiled(contender) for name, contender in OURS.items()},
    **{
        name.lower(): {f'{name} of the library': _alone(encoder), f'{name}, masked': _by_source(encoder)}
        for name, encoder in STOCK.items()
    },
    'vit': {'ViT-B (PyTorch blocks)': Contender(_pytorch_vit, _pytorch_vit_loss), 'ViT-B': VIT},
}
"""Contenders by suite; the first of each suite is the reference for the others."""
