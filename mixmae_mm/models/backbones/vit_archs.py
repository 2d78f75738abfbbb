"""The sizes that MixingViT comes in."""

from dataclasses import dataclass

from mixmae_mm.utils.validation import check_whole, find_sizes

ARCHS = {
    'small': {'embed_dims': 384, 'depth': 12, 'num_heads': 6},
    'base': {'embed_dims': 768, 'depth': 12, 'num_heads': 12},
    'large': {'embed_dims': 1024, 'depth': 24, 'num_heads': 16},
    'huge': {'embed_dims': 1280, 'depth': 32, 'num_heads': 16},
}
"""Sizes of the ViT family; MAE's code has base, large and huge (there with patches of 14 px)."""


@dataclass(frozen=True)
class ViTArch:
    """Channels, number of blocks, and heads of each block."""

    embed_dims: int
    depth: int
    num_heads: int


def read_arch(arch: str | dict) -> ViTArch:
    """Look a size up by name, or read one's own."""
    sizes = find_sizes(arch, ARCHS)
    check_whole(**sizes)
    return ViTArch(**sizes)
