"""Data classes that several packages exchange.

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
    """The originals with their masked cells as predicted, (G, K, C, H, W)."""
    assignment: Tensor
    """The source of each cell, (G or 1, h, w)."""


class Recognition(NamedTuple):
    """Which keys a block kept in mixtures."""

    mixed: Tensor
    """The mixtures as images, uint8 (G, C, H, W)."""
    assignment: Tensor
    """The source of each patch, (G, h, w)."""
    kept: Tensor
    """Share of heads in which a query (rows) keeps a key (columns), (G, N, N); 0 for masked patches."""
    block: int
    """The block, from 0."""
    num_heads: int
    """Heads of the block."""

    def precision(self) -> Tensor:
        """Return the share of kept keys that are of the query's own source: (G, N)."""
        right = self.kept * homologous(self.assignment.flatten(1))
        return right.sum(2) / self.kept.sum(2).clamp(min=1e-9)


class Fitted(NamedTuple):
    """How a stored position embedding was resized."""

    stored: Size
    """Its grid, or window, in the file."""
    here: Size
    """That of the model."""
    known: bool
    """Whether the file determines the stored sides; otherwise they are assumed."""
