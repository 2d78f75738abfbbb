"""Who looked at whom, laid out on the image.

Letters: B images or mixtures, W windows, S heads, T tokens in a window, D channels of a head, h x w patches.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mixmae_mm.structures import Size

NOWHERE = -1  # the place of tokens that stand on no patch: CLS, padding


class Attended(NamedTuple):
    """Who looked at whom in one block, and where on the image they stand."""

    weights: Tensor
    """Shares that each query (rows) gives to the keys of its window, which add up to 1: (B, W, S, T, T)."""
    values: Tensor
    """What is taken along, (B, W, S, T, D): weights @ values is what the heads put out."""
    places: Tensor
    """The number of each token's patch, row by row, or `NOWHERE`: int64 (B or 1, W, T)."""
    grid: Size
    """Patches (h, w) of the image."""
    extra: int
    """Tokens before the patches: 1 where there is CLS."""

    def of_cls(self, image: int) -> Tensor:
        """Return what CLS looks at, each head on its own: (S, h, w).

        Raises:
            ValueError: there is no CLS.
        """
        if not self.extra:
            raise ValueError('this block has no CLS token: take a query patch, or what patches receive')
        return self._on_grid(self.weights[image, 0, :, 0], self._places(image)[0])

    def of_patch(self, image: int, row: int, column: int) -> Tensor:
        """Return what a patch looks at, NaN beyond its window: (S, h, w).

        Raises:
            ValueError: the encoder did not see that patch.
        """
        places = self._places(image)
        found = (places == row * self.grid[1] + column).nonzero().tolist()
        if not found:
            raise ValueError(f'the encoder does not see the patch in row {row}, column {column}: it is hidden')
        window, token = found[0]
        return self._on_grid(self.weights[image, window, :, token], places[window])

    def received(self, image: int) -> Tensor:
        """Return the mean share that the patches of its window give to each patch: (S, h, w)."""
        places = self._places(image)
        result = self.weights.new_full((self.weights.shape[2], *self.grid), torch.nan)
        for weights, of_window in zip(self.weights[image], places, strict=True):
            looking = weights[:, of_window != NOWHERE]
            there = self._on_grid(looking.mean(1), of_window)
            result = torch.where(there.isnan(), result, there)
        return result

    def equal_share(self, image: int) -> float:
        """Tell what each key of a full window would get if all got the same."""
        return 1 / int((self._places(image) != NOWHERE).sum(1).max())

    def _places(self, image: int) -> Tensor:
        """Return the places of an image's tokens, (W, T)."""
        return self.places[image if len(self.places) > 1 else 0]

    def _on_grid(self, shares: Tensor, places: Tensor) -> Tensor:
        """Lay the shares (S, T) of a window's tokens on the image, NaN where there are none: (S, h, w)."""
        laid = shares.new_full((len(shares), self.grid[0] * self.grid[1]), torch.nan)
        there = places != NOWHERE
        laid[:, places[there]] = shares[:, there]
        return laid.unflatten(1, self.grid)
