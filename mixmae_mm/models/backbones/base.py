"""What both encoders share: embedding with positions, freezing, loading, and the arguments they were built with.

Letters: B images, C channels, H x W pixels, h x w tokens.
"""

import inspect
from collections.abc import Iterable
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from mixmae_mm.checkpoint.loading import load_pretrained
from mixmae_mm.models.utils.mixins import HasPositions
from mixmae_mm.models.utils.padding import blank_pixels, count_tokens, find_images, image_labels, place_table


class Encoder(HasPositions, BaseModule):
    """An encoder of images of any size, some stages of which can be frozen."""

    def __new__(cls, *args: Any, **kwargs: Any) -> 'Encoder':
        """Note the arguments; whether they are right, the constructor will say."""
        module = super().__new__(cls)
        module.__dict__['_built_with'] = args, kwargs
        return module

    @property
    def settings(self) -> dict[str, Any]:
        """The constructor's arguments by name, without those left at their defaults."""
        args, kwargs = self.__dict__['_built_with']
        return inspect.signature(type(self)).bind_partial(*args).arguments | kwargs

    def embed_images(self, images: Tensor, pad_value: float | None, multiple: int) -> tuple[Tensor, Tensor | None]:
        """Embed patches with their positions in their image: tokens (B, h, w, C), and labels as of `image_labels`.

        `pad_value` fills images up to the size of their batch, whose sides are padded with zeros to multiples of
        `multiple` pixels.
        """
        sizes = find_images(images, pad_value)
        pixels, (bottom, right) = blank_pixels(images, sizes), (-side % multiple for side in images.shape[-2:])
        x = self.patch_embed(F.pad(pixels, (0, right, 0, bottom)) if bottom or right else pixels)
        grid, shown = tuple(x.shape[1:3]), count_tokens(sizes, self.patch_size)
        positions = getattr(self, self._table)[:, self._extra :]
        return x + place_table(positions, self.grid, shown, grid), image_labels(shown, grid, x.device)

    def init_weights(self) -> None:
        """Load what `init_cfg` asks for; everything else was initialized at construction."""
        load_pretrained(self)
        super().init_weights()

    def train(self, mode: bool = True) -> 'Encoder':
        """Switch drop path on or off; frozen parts stay in evaluation mode."""
        super().train(mode)
        self._freeze()
        return self

    def _freeze(self) -> None:
        """Stop gradients and drop path in what is frozen, and gradients in what no output needs."""
        for part in self._frozen_parts() if self.frozen_stages >= 0 else ():
            part.requires_grad_(False)
            if isinstance(part, nn.Module):
                part.eval()
        for part in self._unused_parts():
            part.requires_grad_(False)

    def _frozen_parts(self) -> Iterable[nn.Module | nn.Parameter]:
        """Return what `frozen_stages`, 0 or more, freezes."""
        raise NotImplementedError

    def _unused_parts(self) -> Iterable[nn.Module | nn.Parameter]:
        """Return what no output needs."""
        raise NotImplementedError


def drop_path_rates(rate: float, depth: int) -> list[float]:
    """Return the rate of each block, growing linearly from 0 to that of the last."""
    return [rate * block / max(depth - 1, 1) for block in range(depth)]
