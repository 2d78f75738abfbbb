"""Named sizes of both encoders, and the window sizes of MixMIMSwin."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mixmae_mm.models.utils.pos_embed import pair
from mixmae_mm.structures import Size
from mixmae_mm.utils.validation import check_indices, check_whole

SWIN_ARCHS = {
    'tiny': {'embed_dims': 96, 'depths': (2, 2, 6, 2), 'num_heads': (3, 6, 12, 24)},
    'base': {'embed_dims': 128, 'depths': (2, 2, 18, 2), 'num_heads': (4, 8, 16, 32)},
    'large': {'embed_dims': 192, 'depths': (2, 2, 18, 2), 'num_heads': (6, 12, 24, 48)},
    'huge': {'embed_dims': 352, 'depths': (2, 2, 18, 2), 'num_heads': (11, 22, 44, 88)},
}
"""Sizes of the official MixMIM, and `tiny`, the size of Swin-T, for small machines."""
VIT_ARCHS = {
    'small': {'embed_dims': 384, 'depth': 12, 'num_heads': 6},
    'base': {'embed_dims': 768, 'depth': 12, 'num_heads': 12},
    'large': {'embed_dims': 1024, 'depth': 24, 'num_heads': 16},
    'huge': {'embed_dims': 1280, 'depth': 32, 'num_heads': 16},
}
"""Sizes of ViT. The official MAE has base, large and huge (the last with patches of 14 px)."""


@dataclass(frozen=True)
class SwinArch:
    """Channels of the first stage, doubled by each later one, and numbers of blocks and heads of each stage."""

    embed_dims: int
    depths: tuple[int, ...]
    num_heads: tuple[int, ...]

    @property
    def num_features(self) -> list[int]:
        """Channels of each stage."""
        return [self.embed_dims * 2**stage for stage in range(len(self.depths))]


@dataclass(frozen=True)
class ViTArch:
    """Channels, number of blocks, and number of heads in each block."""

    embed_dims: int
    depth: int
    num_heads: int


def read_swin_arch(arch: str | dict, window_sizes: Sequence) -> SwinArch:
    """Look up sizes by name, or take the given ones, and check that each stage has one window size."""
    sizes = _find_sizes(arch, SWIN_ARCHS)
    check_whole(embed_dims=sizes['embed_dims'])
    found = SwinArch(sizes['embed_dims'], tuple(sizes['depths']), tuple(sizes['num_heads']))
    if not len(found.depths) == len(found.num_heads) == len(window_sizes):
        raise ValueError(
            f'one entry per stage is needed: depths has {len(found.depths)}, num_heads {len(found.num_heads)}, '
            f'window_sizes {len(window_sizes)}'
        )
    return found


def read_vit_arch(arch: str | dict) -> ViTArch:
    """Look up sizes by name, or take the given ones."""
    sizes = _find_sizes(arch, VIT_ARCHS)
    check_whole(**sizes)
    return ViTArch(**sizes)


def _find_sizes(arch: str | dict, known: Mapping[str, dict]) -> Mapping:
    """Look up sizes by name, or check that the given ones are complete."""
    sizes = known.get(arch) if isinstance(arch, str) else arch
    entries = next(iter(known.values())).keys()
    if not isinstance(sizes, Mapping) or sizes.keys() != entries:
        raise ValueError(
            f'arch {arch!r} is unknown: take one of {", ".join(known)}, or a dict with {", ".join(entries)}'
        )
    return sizes


def plan_window_sizes(
    arch: SwinArch, grid: Size, window_sizes: Sequence[int | Size], wide_blocks: Sequence[int], wide_window: int | Size
) -> list[list[Size]]:
    """Return the window size of every block of every stage, clipped to its map; the first stage's map is `grid`."""
    sizes = [[pair(size)] * depth for size, depth in zip(window_sizes, arch.depths, strict=True)]
    if wide_blocks and len(sizes) < 2:
        raise ValueError('wide_blocks needs two stages or more')
    for block in check_indices(wide_blocks, arch.depths[-2] if wide_blocks else 0, 'wide_blocks', 'blocks'):
        sizes[-2][block] = pair(wide_window)
    return [
        [(min(height, grid[0] // 2**stage), min(width, grid[1] // 2**stage)) for height, width in of_blocks]
        for stage, of_blocks in enumerate(sizes)
    ]
