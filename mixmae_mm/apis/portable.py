"""Models in the form that is exported: one tensor of pictures in, tensors with names out.

Letters: B pictures, H x W pixels, C channels, h x w tokens.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mixmae_mm.structures import Size
from mixmae_mm.utils.denormalize import is_of_photos


class Portable(nn.Module):
    """A model as it is exported: one tensor of pictures in, tensors with names out.

    Args:
        model: What is exported: it comes to the CPU, in evaluation mode.
        channels: Of the pictures.
        normalisation: Mean and std of each channel to normalise with in the graph: it then takes uint8, or where they
            cannot be those of photos (`is_of_photos`), float32 in their units. None takes pictures that are normalised
            already, float32.

    Raises:
        ValueError: mean and std are not one number a channel.
    """

    outputs: tuple[str, ...]
    """Names of what comes out."""

    def __init__(self, model: nn.Module, channels: int, normalisation: Mapping[str, Sequence[float]] | None) -> None:
        super().__init__()
        self.model, self.channels = model.cpu(), channels
        self.normalises = normalisation is not None
        for name, numbers in (normalisation or {}).items():
            if len(numbers) != channels:
                raise ValueError(f'{name} has {len(numbers)} numbers, and the pictures have {channels} channels')
            self.register_buffer(name, torch.tensor(numbers, dtype=torch.float32).view(-1, 1, 1))
        self.takes_bytes = self.normalises and is_of_photos(self.mean, self.std)
        self.eval()

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Answer for pictures (B, C, H, W)."""
        return self.answer((pictures.float() - self.mean) / self.std if self.normalises else pictures)

    def answer(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Answer for normalised pictures: one tensor for each of `outputs`."""
        raise NotImplementedError

    def example(self, size: Size, batch: int = 2, seed: int = 0) -> Tensor:
        """Make pictures of noise, of the type that goes in: (B, C, H, W).

        Raises:
            ValueError: a size that is none.
        """
        if len(size) != 2 or min(size) < 1:
            raise ValueError(f'pictures of {tuple(size)} pixels: give a height and a width, 1 or more each')
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randint(0, 256, (batch, self.channels, *size), dtype=torch.uint8, generator=generator)
        if self.takes_bytes:
            return noise
        normal = noise / 64 - 2
        return normal * self.std + self.mean if self.normalises else normal


class PortableEncoder(Portable):
    """An encoder: its maps (B, C, h, w) as map_0, map_1, ..., and the mean of the last, pooled (B, C).

    Args:
        encoder: A `MixMIMSwin`, `MixedAEViT`, or any that returns a tuple of maps.
        normalisation: As of `Portable`.

    Raises:
        ValueError: as of `Portable`; an encoder that looks for padding in its pictures.
    """

    def __init__(self, encoder: nn.Module, normalisation: Mapping[str, Sequence[float]] | None = None) -> None:
        super().__init__(encoder, encoder.patch_embed.proj.in_channels, normalisation)
        _check_whole(encoder)
        self.outputs = (*(f'map_{number}' for number in range(len(encoder.out_indices))), 'pooled')

    def answer(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Encode."""
        maps = self.model(pictures)
        return *maps, maps[-1].mean((2, 3))


class PortableClassifier(Portable):
    """A classifier of mmpretrain with an encoder of ours: logits (B, classes), before any softmax.

    Args:
        classifier: An `ImageClassifier`.
        normalisation: As of `Portable`.

    Raises:
        ValueError: as of `PortableEncoder`.
    """

    outputs = ('logits',)

    def __init__(self, classifier: nn.Module, normalisation: Mapping[str, Sequence[float]] | None = None) -> None:
        super().__init__(classifier, classifier.backbone.patch_embed.proj.in_channels, normalisation)
        _check_whole(classifier.backbone)

    def answer(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Classify."""
        return (self.model(pictures, mode='tensor'),)


def _check_whole(encoder: nn.Module) -> None:
    """Refuse an encoder whose way through depends on what the pictures show."""
    if getattr(encoder, 'pad_value', None) is not None:
        raise ValueError(
            f'the encoder looks for padding of {encoder.pad_value} in its pictures, which no graph can: build it with '
            'pad_value=None, and give it pictures that fill their batch'
        )
