"""Data classes that several subpackages share.

Letters: G mixtures, K sources, C channels, H x W pixels, h x w cells, N patches.
"""

from typing import NamedTuple

from torch import Tensor

from mixmae_mm.mixing import homologous

Size = tuple[int, int]
"""Height and width."""


class Reconstructions(NamedTuple):
    """Reconstructed images, uint8."""

    sources: Tensor
    """The originals of each mixture, (G, K, C, H, W)."""
    mixed: Tensor
    """The input of the encoder, (G, C, H, W)."""
    reconstructed: Tensor
    """The originals with their masked cells replaced by predictions, (G, K, C, H, W)."""
    assignment: Tensor
    """The source of each cell, (G or 1, h, w)."""


class HomologousMaps(NamedTuple):
    """The keys that an attention block kept in mixtures."""

    mixed: Tensor
    """The mixtures as images, uint8 (G, C, H, W)."""
    assignment: Tensor
    """The source of each patch, (G, h, w)."""
    kept: Tensor
    """Share of heads in which a query (rows) keeps a key (columns), (G, N, N); 0 for masked patches."""
    block: int
    """Index of the block, from 0."""
    num_heads: int
    """Number of heads of the block."""

    def precision(self) -> Tensor:
        """Return the share of each query's kept keys that come from its own source: (G, N)."""
        right = self.kept * homologous(self.assignment.flatten(1))
        return right.sum(2) / self.kept.sum(2).clamp(min=1e-9)


class Fitted(NamedTuple):
    """How a stored position embedding was resized."""

    stored: Size
    """The grid or window of the embedding in the file."""
    here: Size
    """The grid or window of the model."""
    known: bool
    """Whether the file determines `stored`; otherwise it is assumed."""
