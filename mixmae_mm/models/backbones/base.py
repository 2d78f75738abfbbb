"""The base class of both encoders: patch and position embedding, freezing, loading, and a record of the arguments.

Letters: B images, C channels, H x W pixels, h x w tokens.
"""

import inspect
from collections.abc import Iterable
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from mixmae_mm.checkpoint.loading import load_pretrained
from mixmae_mm.models.utils.mixins import HasPosEmbed
from mixmae_mm.models.utils.padding import blank_pixels, count_tokens, image_labels, image_sizes, place_pos_embed


class Encoder(HasPosEmbed, BaseModule):
    """Base class of encoders that take images of any size and whose first stages can be frozen."""

    def __new__(cls, *args: Any, **kwargs: Any) -> 'Encoder':
        """Record the arguments for `settings`."""
        module = super().__new__(cls)
        module.__dict__['_built_with'] = args, kwargs
        return module

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments that were passed to the constructor, by name."""
        args, kwargs = self.__dict__['_built_with']
        return inspect.signature(type(self)).bind_partial(*args).arguments | kwargs

    def embed_images(self, images: Tensor, pad_value: float | None, multiple: int) -> tuple[Tensor, Tensor | None]:
        """Embed patches and add position embeddings: tokens (B, h, w, C), and labels from `image_labels`.

        Padding is recognized by `pad_value` and set to 0; zeros then pad the batch to multiples of `multiple` pixels.
        """
        sizes = image_sizes(images, pad_value)
        pixels, (bottom, right) = blank_pixels(images, sizes), (-side % multiple for side in images.shape[-2:])
        x = self.patch_embed(F.pad(pixels, (0, right, 0, bottom)) if bottom or right else pixels)
        grid, own_grids = tuple(x.shape[1:3]), count_tokens(sizes, self.patch_size)
        pos_embed = getattr(self, self._pos_embed)[:, self._extra :]
        return x + place_pos_embed(pos_embed, self.grid, own_grids, grid), image_labels(own_grids, grid, x.device)

    def init_weights(self) -> None:
        """Load the weights that `init_cfg` names; the constructor has initialized everything else."""
        load_pretrained(self)
        super().init_weights()

    def train(self, mode: bool = True) -> 'Encoder':
        """Set the mode; frozen parts stay in evaluation mode."""
        super().train(mode)
        self._freeze()
        return self

    def _freeze(self) -> None:
        """Stop gradients and drop path in frozen parts, and gradients in parts that no output depends on."""
        for part in self._frozen_parts() if self.frozen_stages >= 0 else ():
            part.requires_grad_(False)
            if isinstance(part, nn.Module):
                part.eval()
        for part in self._unused_parts():
            part.requires_grad_(False)

    def _frozen_parts(self) -> Iterable[nn.Module | nn.Parameter]:
        """Return the parts to freeze if `frozen_stages` is 0 or more."""
        raise NotImplementedError

    def _unused_parts(self) -> Iterable[nn.Module | nn.Parameter]:
        """Return the parts that no output depends on."""
        raise NotImplementedError


def drop_path_rates(rate: float, depth: int) -> list[float]:
    """Return the drop path rate of each block, growing linearly from 0 to `rate`."""
    return [rate * block / max(depth - 1, 1) for block in range(depth)]
