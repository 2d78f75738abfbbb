"""Encoders by name, and encoders and whole models by config, with weights."""

from collections.abc import Sequence
from fnmatch import fnmatch

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import load_checkpoint
from torch import nn

from mixmae_mm.apis.contexts import quiet_log
from mixmae_mm.apis.encoder_file import load_encoder
from mixmae_mm.checkpoint.loading import load_backbone, load_by_name
from mixmae_mm.models import MixingViT, MixMIMSwin
from mixmae_mm.models.backbones.archs import SWIN_ARCHS, VIT_ARCHS
from mixmae_mm.models.backbones.base import Encoder
from mixmae_mm.models.utils.pos_embed import pair
from mixmae_mm.structures import Size
from mixmae_mm.utils.errors import check_checkpoint
from mixmae_mm.utils.seed import kept_randomness

MODELS_BY_NAME = {
    **{f'mixmim-swin-{arch}': (MixMIMSwin, arch) for arch in SWIN_ARCHS},
    **{f'mixing-vit-{arch}': (MixingViT, arch) for arch in VIT_ARCHS},
}


def device_of(device: str | None = None) -> str:
    """Return the device to compute on: the given one, or else the GPU if there is one."""
    return device or ('cuda' if torch.cuda.is_available() else 'cpu')


def list_models(pattern: str = '*') -> list[str]:
    """List the names that `get_model` accepts and that match a pattern such as '*-base'."""
    return [name for name in MODELS_BY_NAME if fnmatch(name, pattern)]


def get_model(name: str | None = None, pretrained: str | None = None, **settings: object) -> nn.Module:
    """Build an encoder, in evaluation mode, with `settings` of its class, such as `img_size` and `out_indices`.

    `name` is one of `list_models()`; leave it out if `pretrained` is a file of `save_encoder`, which names the model.
    `pretrained` is the path or URL of weights: official, ours, mmpretrain's or timm's (docs/weights.md). Raise
    ValueError if they belong to another encoder.
    """
    if name is None and pretrained is not None:
        return load_encoder(pretrained, **settings)
    if name not in MODELS_BY_NAME:
        raise ValueError(f"there is no model '{name}': take one of {', '.join(MODELS_BY_NAME)}")
    kind, arch = MODELS_BY_NAME[name]
    if pretrained is None:
        return kind(arch, **settings).eval()
    with kept_randomness():
        model = kind(arch, **settings)
    load_backbone(model, pretrained)
    return model.eval()


def build_encoder(config: Config, checkpoint: str | None) -> nn.Module:
    """Build a config's encoder, with weights of a checkpoint, if any; raise ValueError if they are another model's."""
    if 'backbone' not in config.get('model', {}):
        raise ValueError(f'{config.filename} has no model.backbone to take features from')
    settings = config.model.backbone.copy()
    if 'Pretrained' in str(settings.get('init_cfg')):
        settings.pop('init_cfg')  # weights come from the checkpoint, if at all
    with quiet_log():  # mmengine would log two lines per parameter
        if checkpoint is None:
            init_default_scope(config.get('default_scope', 'mmpretrain'))
            backbone = MODELS.build(settings)
            backbone.init_weights()
        else:
            backbone = _build_unfilled(settings, config, checkpoint)
            load = load_backbone if isinstance(backbone, Encoder) else load_by_name
            load(backbone, checkpoint)
    backbone.eval()
    return backbone.to(device_of())


def ask_for_maps(config: Config, stages: Sequence[int] | None = None) -> None:
    """Make a config's encoder return maps of patches: the last one, or those of the given stages (of a ViT, blocks)."""
    backbone = config.model.backbone
    if 'out_type' in backbone:
        backbone.out_type = 'featmap'
    if stages is not None:
        backbone.out_indices = tuple(stages)


def build_pretrainer(config: Config, checkpoint: str, device: str | None = None) -> BaseModel:
    """Build a pre-training model and load a checkpoint; raise ValueError if config or checkpoint is another model's."""
    if 'head' not in config.model or 'num_sources' not in config.model.get('data_preprocessor', {}):
        raise ValueError(f'{config.filename} is not a pre-training config: its model mixes no images')
    return _build_whole(config, checkpoint, device)


def build_classifier(config: Config, checkpoint: str) -> BaseModel:
    """Build a classifier of mmpretrain and load a checkpoint; raise ValueError as `build_pretrainer` does."""
    if not str(config.model.get('type')).endswith('ImageClassifier') or config.model.get('head') is None:
        raise ValueError(f'{config.filename} builds a {config.model.get("type")}, not an ImageClassifier with a head')
    if config.model.head.get('num_classes') == 'auto':
        raise ValueError(f"{config.filename} has num_classes='auto': use the config that its training wrote")
    return _build_whole(config, checkpoint)


def _build_whole(config: Config, checkpoint: str, device: str | None = None) -> BaseModel:
    """Build a config's model and load all of its weights from a checkpoint."""
    model = _build_unfilled(config.model, config, checkpoint)
    try:
        load_checkpoint(model, checkpoint, map_location='cpu', strict=True, logger='silent')
    except RuntimeError as error:
        raise ValueError(f'{checkpoint} does not fit the model of {config.filename}: {error}') from error
    return model.to(device_of(device)).eval()


def _build_unfilled(settings: dict, config: Config, checkpoint: str) -> nn.Module:
    """Build a model whose weights will be loaded from a checkpoint, without changing the random states."""
    check_checkpoint(checkpoint)
    init_default_scope(config.get('default_scope', 'mmpretrain'))
    with kept_randomness():
        return MODELS.build(settings)


def input_size(config: Config, given: Size | int | None = None) -> Size:
    """Return the height and width of the images: the given size, or else the size that the encoder is made for."""
    return pair(given or config.model.backbone.get('img_size', config.get('image_size', 224)))
