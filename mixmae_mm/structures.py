"""Plain data that several packages share.

Letters: G mixtures, K sources, C channels, H x W pixels, h x w cells, N patches, S heads.
"""

from typing import NamedTuple

from torch import Tensor

from mixmae_mm.mixing import homologous

Size = tuple[int, int]
"""Height and width."""


class Reconstructions(NamedTuple):
    """Images to look at, uint8."""

    sources: Tensor
    """The originals of each mixture, (G, K, C, H, W)."""
    mixed: Tensor
    """What the encoder saw, (G, C, H, W)."""
    reconstructed: Tensor
    """Each original as decoded: predicted where it was masked, itself where it was shown, (G, K, C, H, W)."""
    assignment: Tensor
    """Which source each cell showed, (G or 1, h, w)."""


class Recognition(NamedTuple):
    """What a block made of mixtures."""

    mixed: Tensor
    """The mixtures as images, uint8 (G, C, H, W)."""
    assignment: Tensor
    """Which source each patch shows, (G, h, w)."""
    kept: Tensor
    """Share of the heads with which a query (rows) keeps a key (columns), (G, N, N); 0 for patches of nobody."""
    block: int
    """The block, from 0."""
    num_heads: int
    """S."""

    def precision(self) -> Tensor:
        """Return what share of the keys that a query keeps are of its own source: (G, N)."""
        right = self.kept * homologous(self.assignment.flatten(1))
        return right.sum(2) / self.kept.sum(2).clamp(min=1e-9)


class Fitted(NamedTuple):
    """What became of a stored position embedding."""

    stored: Size
    """Its sides in the file: of the grid, or of the window."""
    here: Size
    """Those of the model."""
    known: bool
    """Whether the file says the stored sides, or they are assumed."""
