"""Extraction of features from images in files, folders or arrays, to arrays and files."""

import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor, nn

from mixmae_mm.apis.encoder_file import load_encoder, read_card
from mixmae_mm.apis.model import build_encoder, device_of, get_model, input_size
from mixmae_mm.datasets.image_reader import (
    IMAGENET,
    ImageLikes,
    ImageLoader,
    ImageReader,
    image_loader_for,
    image_loader_of,
    normalization,
)
from mixmae_mm.models.utils.data_preprocessor import LAST_CHANNEL
from mixmae_mm.models.utils.pos_embed import pair
from mixmae_mm.utils.denormalize import first_three, to_show
from mixmae_mm.utils.validation import check_one_of

KINDS = ('pooled', 'maps', 'tokens')
PRECISIONS = dict(fp32=torch.float32, bf16=torch.bfloat16, fp16=torch.float16)


class FeatureExtractor:
    """Extractor of an encoder's features from an image, a folder of images at any depth, an array, or a list of these.

        extract = FeatureExtractor('mixmim-swin-base', 'pretrained.pth')
        extract('image.jpg')                           # (1, 1024)
        extract.save('folder', 'features.npz')         # features and file names

    Images are turned upright, resized, center-cropped to `image_size` and normalized by `mean` and `std`, which are in
    the images' units (0 to 255 for RGB). `image_loader` states how files are read: by default as gray or RGB if
    channels, mean and std can be those of photos, otherwise as multispectral images. `precision`, one of `PRECISIONS`,
    is the autocast dtype; features are always float32.
    """

    def __init__(
        self,
        model: nn.Module | str,
        pretrained: str | None = None,
        image_size: int | Sequence[int] = 224,
        mean: Sequence[float] = IMAGENET['mean'],
        std: Sequence[float] = IMAGENET['std'],
        device: str | None = None,
        batch_size: int = 32,
        threads: int = 4,
        image_loader: ImageLoader | None = None,
        precision: str = 'fp32',
    ) -> None:
        if pretrained is not None and not isinstance(model, str):
            raise ValueError('pretrained needs the name of a model; load your own encoder with load_backbone')
        self.device, self.size = device_of(device), pair(image_size)
        self.precision = PRECISIONS[check_one_of(tuple(PRECISIONS), precision=precision)]
        encoder = get_model(model, pretrained, img_size=self.size) if isinstance(model, str) else model
        self.encoder = encoder.to(self.device)
        self.encoder.eval()  # eval() of other libraries may return None
        self.mean, self.std = (torch.tensor(x, device=self.device).view(-1, 1, 1) for x in (mean, std))
        if image_loader is None:  # for encoders of other libraries, `mean` has as many channels as images
            embed = getattr(getattr(encoder, 'patch_embed', None), 'proj', None)
            image_loader = image_loader_for(getattr(embed, 'in_channels', len(mean)), mean, std)
        self.read = ImageReader(self.size, image_loader, batch_size, threads)
        self.has_weights = False

    @classmethod
    def from_config(cls, config: str | Config, checkpoint: str | None = None, **settings: object) -> 'FeatureExtractor':
        """Take encoder, image size, mean, std and how files are read from a config.

        `settings` are arguments of the class, and override all of these but the encoder.
        """
        config = Config.fromfile(config) if isinstance(config, str) else config
        own = dict(image_size=input_size(config), image_loader=image_loader_of(config), **normalization(config))
        extract = cls(build_encoder(config, checkpoint), **(own | settings))
        extract.has_weights = (config.model.get('data_preprocessor') or {}).get('weights') == LAST_CHANNEL
        return extract

    @classmethod
    def from_file(cls, path: str | os.PathLike, **settings: object) -> 'FeatureExtractor':
        """Take encoder, image size, mean and std from a file of `save_encoder`; `settings` are as in `from_config`."""
        card = read_card(path)
        own = dict(image_size=card.image_size, mean=card.mean, std=card.std)
        return cls(load_encoder(path), **(own | settings))

    def __call__(self, images: ImageLikes, kind: str = 'pooled') -> np.ndarray:
        """Compute float32 features of the last map: 'pooled' (B, C), 'maps' (B, C, h, w) or 'tokens' (B, h * w, C).

        Raise ValueError if no image can be read.
        """
        return self.with_names(images, kind)[1]

    def save(self, images: ImageLikes, out: str | os.PathLike, kind: str = 'pooled') -> Path:
        """Write `features` and `names`, which are the paths of files and the indices of arrays, to an .npz file."""
        out = Path(out)
        if out.suffix != '.npz':
            raise ValueError(f'{out} should end in .npz')
        out.parent.mkdir(parents=True, exist_ok=True)
        names, features = self.with_names(images, kind)
        np.savez(out, features=features, names=np.array(names))
        return out

    def with_names(self, images: ImageLikes, kind: str = 'pooled') -> tuple[list[str], np.ndarray]:
        """Return the names and features of all images that can be read."""
        if kind not in KINDS:
            raise ValueError(f"kind '{kind}' is unknown: take one of {', '.join(KINDS)}")
        names, features = [], []
        for of_batch, pixels in self.read(images):
            names += of_batch
            features.append(self.encode(torch.from_numpy(pixels).permute(0, 3, 1, 2), kind))
        if not features:
            raise ValueError('none of the given images can be read')
        return names, np.concatenate(features)

    def open_all(self, paths: Sequence[str]) -> Tensor:
        """Read files, resized and cropped, in their own units: (B, C, H, W); raise ValueError if one cannot be read."""
        return self.read.image_loader.read_all(paths, self.size)

    @torch.no_grad()
    def encode(self, pixels: Tensor, kind: str = 'pooled') -> np.ndarray:
        """Compute features of images read by `open_all`, as `__call__` does."""
        maps = self.maps(pixels)[-1]
        features = dict(maps=maps, tokens=maps.flatten(2).transpose(1, 2), pooled=maps.mean((2, 3)))[kind]
        return features.cpu().numpy()

    @torch.no_grad()
    def maps(self, pixels: Tensor) -> list[Tensor]:
        """Compute all maps of images read by `open_all`, (B, C, h, w) each, on the encoder's device."""
        full = self.precision == torch.float32
        with nullcontext() if full else torch.autocast(torch.device(self.device).type, self.precision):
            return [one.float() for one in self.encoder(self.normalize(pixels))]

    def as_shown(self, pixels: Tensor) -> np.ndarray:
        """Return images (B, C, H, W) for display: uint8 (B, H, W, 3), the first three channels if there are more."""
        photos = not self.read.image_loader.is_multispectral
        display = first_three(to_show(self.normalize(pixels), self.mean, self.std, photos))
        return display.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).cpu().numpy()

    def normalize(self, pixels: Tensor) -> Tensor:
        """Normalize pixels (B, C, H, W) for the encoder, on its device; a channel of weights is dropped."""
        channels = len(self.mean)
        if self.has_weights and pixels.shape[1] == channels + 1:
            pixels = pixels[:, :channels]
        if channels not in (1, pixels.shape[1]):
            raise ValueError(f'images have {pixels.shape[1]} channels, but mean and std are for {channels}')
        return (pixels.to(self.device).float() - self.mean) / self.std
