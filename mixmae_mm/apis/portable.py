"""Models in the form that is exported: one tensor of images in, tensors with names out.

Letters: B images, H x W pixels, C channels, h x w tokens.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mixmae_mm.structures import Size
from mixmae_mm.utils.denormalize import is_of_photos


class Portable(nn.Module):
    """A model as it is exported: one tensor of images in, tensors with names out.

    Args:
        model: What is exported: it comes to the CPU, in evaluation mode.
        channels: Of the images.
        normalization: Mean and std of each channel to normalize with in the graph: it then takes uint8, or where they
            cannot be those of photos (`is_of_photos`), float32 in their units. None takes images that are normalized
            already, float32.

    Raises:
        ValueError: mean and std are not one number a channel.
    """

    outputs: tuple[str, ...]
    """Names of the outputs."""

    def __init__(self, model: nn.Module, channels: int, normalization: Mapping[str, Sequence[float]] | None) -> None:
        super().__init__()
        self.model, self.channels = model.cpu(), channels
        self.normalizes = normalization is not None
        for name, numbers in (normalization or {}).items():
            if len(numbers) != channels:
                raise ValueError(f'{name} has {len(numbers)} numbers, and the images have {channels} channels')
            self.register_buffer(name, torch.tensor(numbers, dtype=torch.float32).view(-1, 1, 1))
        self.takes_bytes = self.normalizes and is_of_photos(self.mean, self.std)
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs for images (B, C, H, W)."""
        return self.answer((images.float() - self.mean) / self.std if self.normalizes else images)

    def answer(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return one tensor for each of `outputs`, for normalized images."""
        raise NotImplementedError

    def example(self, size: Size, batch: int = 2, seed: int = 0) -> Tensor:
        """Make images of noise, of the type that goes in: (B, C, H, W).

        Raises:
            ValueError: an invalid size.
        """
        if len(size) != 2 or min(size) < 1:
            raise ValueError(f'images of {tuple(size)} pixels: give a height and a width, 1 or more each')
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randint(0, 256, (batch, self.channels, *size), dtype=torch.uint8, generator=generator)
        if self.takes_bytes:
            return noise
        normal = noise / 64 - 2
        return normal * self.std + self.mean if self.normalizes else normal


class PortableEncoder(Portable):
    """An encoder: its maps (B, C, h, w) as map_0, map_1, ..., and the mean of the last, pooled (B, C).

    Args:
        encoder: A `MixMIMSwin`, `MixingViT`, or any that returns a tuple of maps.
        normalization: As of `Portable`.

    Raises:
        ValueError: as of `Portable`; an encoder that looks for padding in its images.
    """

    def __init__(self, encoder: nn.Module, normalization: Mapping[str, Sequence[float]] | None = None) -> None:
        super().__init__(encoder, encoder.patch_embed.proj.in_channels, normalization)
        _check_padding(encoder)
        self.outputs = (*(f'map_{number}' for number in range(len(encoder.out_indices))), 'pooled')

    def answer(self, images: Tensor) -> tuple[Tensor, ...]:
        """Encode."""
        maps = self.model(images)
        return *maps, maps[-1].mean((2, 3))


class PortableClassifier(Portable):
    """A classifier of mmpretrain with an encoder of ours: logits (B, classes), before any softmax.

    Args:
        classifier: An `ImageClassifier`.
        normalization: As of `Portable`.

    Raises:
        ValueError: as of `PortableEncoder`.
    """

    outputs = ('logits',)

    def __init__(self, classifier: nn.Module, normalization: Mapping[str, Sequence[float]] | None = None) -> None:
        super().__init__(classifier, classifier.backbone.patch_embed.proj.in_channels, normalization)
        _check_padding(classifier.backbone)

    def answer(self, images: Tensor) -> tuple[Tensor, ...]:
        """Classify."""
        return (self.model(images, mode='tensor'),)


def _check_padding(encoder: nn.Module) -> None:
    """Check that an encoder computes the same graph for all images."""
    if getattr(encoder, 'pad_value', None) is not None:
        raise ValueError(
            f'the encoder looks for padding of {encoder.pad_value} in its images, which no graph can: build it with '
            'pad_value=None, and give it images that fill their batch'
        )
