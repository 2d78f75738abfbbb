"""The sizes that MixMIMSwin comes in, and what can be wrong with one's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from mixmae_mm.models.utils.pos_embed import pair
from mixmae_mm.structures import Size
from mixmae_mm.utils.validation import check_each, check_list, check_whole, find_sizes, names_some

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


def read_arch(arch: str | dict, window_sizes: Sequence, out_indices: Sequence[int]) -> SwinArch:
    """Look a size up by name, or read one's own.

    Raises:
        ValueError: an unknown name, sizes that are none, or settings that do not fit each other.
    """
    sizes = find_sizes(arch, ARCHS)
    check_whole(embed_dims=sizes['embed_dims'])
    check_each(partial(check_whole, 0), depths=sizes['depths'])
    check_each(check_whole, num_heads=sizes['num_heads'])
    check_list(window_sizes=window_sizes, out_indices=out_indices)
    read = SwinArch(sizes['embed_dims'], tuple(sizes['depths']), tuple(sizes['num_heads']))
    if not read.num_stages == len(read.num_heads) == len(window_sizes):
        raise ValueError(
            f'one entry a stage is needed: depths has {read.num_stages}, num_heads {len(read.num_heads)}, '
            f'window_sizes {len(window_sizes)}'
        )
    if not names_some(out_indices, read.num_stages):
        raise ValueError(f'out_indices {tuple(out_indices)} must name some of the stages 0 to {read.num_stages - 1}')
    return read


def lay_windows(
    arch: SwinArch,
    grid: Size,
    window_sizes: Sequence[int | Size],
    wide_blocks: Sequence[int] = (),
    wide_window: int | Size = 32,
) -> list[list[Size]]:
    """Return the window of every block of every stage, none larger than the stage's map.

    Args:
        arch: Number of stages and blocks.
        grid: Tokens (h, w) of the first stage's map.
        window_sizes: Tokens of a window in each stage, a side or (h, w).
        wide_blocks: Blocks of the last stage but one that have another window.
        wide_window: That one.

    Raises:
        ValueError: wide blocks that there are not.
    """
    check_list(0, wide_blocks=wide_blocks)
    windows = [[pair(size)] * depth for size, depth in zip(window_sizes, arch.depths, strict=True)]
    if wide_blocks and not (arch.num_stages > 1 and names_some(wide_blocks, arch.depths[-2])):
        raise ValueError(
            f'wide_blocks {tuple(wide_blocks)} must name some of the blocks 0 to {arch.depths[-2] - 1} of the last '
            'stage but one' if arch.num_stages > 1 else 'wide_blocks needs two stages or more'
        )
    for block in wide_blocks:
        windows[-2][block] = pair(wide_window)
    return [[_clip(window, grid, 2**stage) for window in of_blocks] for stage, of_blocks in enumerate(windows)]


def _clip(window: Size, grid: Size, factor: int) -> Size:
    """Shrink a window that is larger than a map, `factor` times as coarse as the grid."""
    return min(window[0], grid[0] // factor), min(window[1], grid[1] // factor)
