"""The sizes that MixMIMSwin comes in, and its windows."""

from collections.abc import Sequence
from dataclasses import dataclass

from mixmae_mm.models.utils.pos_embed import pair
from mixmae_mm.structures import Size
from mixmae_mm.utils.validation import check_indices, check_whole, find_sizes

ARCHS = {
    'tiny': {'embed_dims': 96, 'depths': (2, 2, 6, 2), 'num_heads': (3, 6, 12, 24)},
    'base': {'embed_dims': 128, 'depths': (2, 2, 18, 2), 'num_heads': (4, 8, 16, 32)},
    'large': {'embed_dims': 192, 'depths': (2, 2, 18, 2), 'num_heads': (6, 12, 24, 48)},
    'huge': {'embed_dims': 352, 'depths': (2, 2, 18, 2), 'num_heads': (11, 22, 44, 88)},
}
"""The official MixMIM's sizes; `tiny` has those of Swin-T, for small machines."""


@dataclass(frozen=True)
class SwinArch:
    """Channels after the embedding, and blocks and heads of each stage."""

    embed_dims: int
    depths: tuple[int, ...]
    num_heads: tuple[int, ...]

    @property
    def num_stages(self) -> int:
        """Number of resolutions."""
        return len(self.depths)

    @property
    def num_features(self) -> list[int]:
        """Channels of each stage."""
        return [self.embed_dims * 2**stage for stage in range(self.num_stages)]


def read_arch(arch: str | dict, window_sizes: Sequence) -> SwinArch:
    """Look a size up by name, or read one's own, for which there are so many windows."""
    sizes = find_sizes(arch, ARCHS)
    check_whole(embed_dims=sizes['embed_dims'])
    read = SwinArch(sizes['embed_dims'], tuple(sizes['depths']), tuple(sizes['num_heads']))
    if not read.num_stages == len(read.num_heads) == len(window_sizes):
        raise ValueError(
            f'one entry a stage is needed: depths has {read.num_stages}, num_heads {len(read.num_heads)}, '
            f'window_sizes {len(window_sizes)}'
        )
    return read


def lay_windows(
    arch: SwinArch,
    grid: Size,
    window_sizes: Sequence[int | Size],
    wide_blocks: Sequence[int] = (),
    wide_window: int | Size = 32,
) -> list[list[Size]]:
    """Return the window of every block of every stage, none larger than its map, which begins as `grid`."""
    windows = [[pair(size)] * depth for size, depth in zip(window_sizes, arch.depths, strict=True)]
    if wide_blocks and arch.num_stages < 2:
        raise ValueError('wide_blocks needs two stages or more')
    for block in check_indices(wide_blocks, arch.depths[-2] if wide_blocks else 0, 'wide_blocks', 'blocks'):
        windows[-2][block] = pair(wide_window)
    maps = [(grid[0] // 2**stage, grid[1] // 2**stage) for stage in range(arch.num_stages)]
    return [
        [(min(height, side[0]), min(width, side[1])) for height, width in of_blocks]
        for of_blocks, side in zip(windows, maps, strict=True)
    ]
