"""The sizes that MixMIMSwin comes in, and what can be wrong with one's own."""

from collections.abc import Sequence
from dataclasses import dataclass

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
        ValueError: an unknown name, or settings that do not fit each other.
    """
    if isinstance(arch, str) and arch not in ARCHS:
        raise ValueError(
            f"arch '{arch}' is unknown: take one of {', '.join(ARCHS)}, or a dict with embed_dims, depths and num_heads"
        )
    settings = ARCHS[arch] if isinstance(arch, str) else arch
    if set(settings) != {'embed_dims', 'depths', 'num_heads'}:
        raise ValueError(f'arch must hold embed_dims, depths and num_heads, got {sorted(settings)}')
    read = SwinArch(settings['embed_dims'], tuple(settings['depths']), tuple(settings['num_heads']))
    if not read.num_stages == len(read.num_heads) == len(window_sizes):
        raise ValueError(
            f'one entry a stage is needed: depths has {read.num_stages}, num_heads {len(read.num_heads)}, '
            f'window_sizes {len(window_sizes)}'
        )
    if not out_indices or not set(out_indices) <= set(range(read.num_stages)):
        raise ValueError(f'out_indices {tuple(out_indices)} must name some of the stages 0 to {read.num_stages - 1}')
    return read
