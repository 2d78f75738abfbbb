"""The sizes that MixingViT comes in, and what can be wrong with one's own."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mixmae_mm.utils.validation import check_list, check_whole, find_sizes, names_some

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
    """Look a size up by name, or read one's own.

    Raises:
        ValueError: an unknown name, a dict with other entries, or sizes that are none.
    """
    sizes = find_sizes(arch, ARCHS)
    check_whole(**sizes)
    return ViTArch(**sizes)


def check_blocks(blocks: Collection[int], depth: int, setting: str) -> tuple[int, ...]:
    """Read numbers of blocks.

    Raises:
        ValueError: they are no list, or one of them is none of the blocks.
    """
    check_list(0, **{setting: blocks})
    if not names_some(blocks, depth):
        raise ValueError(f'{setting} {tuple(blocks)} must name some of the blocks 0 to {depth - 1}')
    return tuple(blocks)


def one_of(known: Sequence[str], given: str, setting: str) -> str:
    """Read a setting that names one of a few things.

    Raises:
        ValueError: it names none of them.
    """
    if given not in known:
        raise ValueError(f'{setting} {given!r} is unknown: take one of {", ".join(known)}')
    return given
