"""Features of images, from whatever holds them to arrays and files.

Letters: B images, H x W pixels, C channels, h x w tokens.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor, nn

from mixmae_mm.apis.encoder_file import load_encoder, read_card
from mixmae_mm.apis.model import build_encoder, get_model, input_size
from mixmae_mm.datasets.image_reader import (
    IMAGENET,
    ImageLikes,
    ImageReader,
    Reading,
    normalization,
    reading_for,
    reading_of,
)
from mixmae_mm.utils.denormalize import first_three, to_show
from mixmae_mm.utils.optional import need

KINDS = {
    'pooled': lambda maps: maps.mean((2, 3)),
    'maps': lambda maps: maps,
    'tokens': lambda maps: maps.flatten(2).transpose(1, 2),
}


class FeatureExtractor:
    """What an encoder makes of images: an image, a folder of them at any depth, an array, or a list of any.

        extract = FeatureExtractor('mixmim-swin-base', 'pretrained.pth')
        extract('image.jpg')                           # (1, 1024)
        extract.save('folder', 'features.npz')           # features and file names

    Images are turned upright, scaled and cropped in the middle to `image_size`.

    Args:
        model: An encoder, or a name for `get_model`.
        pretrained: Its checkpoint, where it is a name.
        image_size: Height and width in pixels, or one number for both.
        mean: Of each channel, in the images' units: of R, G and B from 0 to 255.
        std: The same.
        device: Where to compute; None takes the GPU if there is one.
        batch_size: Images at a time.
        threads: How many read images.
        reading: How files are read. By default gray or RGB, where the encoder's channels, mean and std can be those
            of photos, and else as files with as many channels (TIFF, .npy).

    Raises:
        ValueError: as of `get_model`; a checkpoint for an encoder that is there already.
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
        reading: Reading | None = None,
    ) -> None:
        if pretrained is not None and not isinstance(model, str):
            raise ValueError("pretrained goes with a model's name; load an encoder of your own by load_backbone")
        self.device = device or ('cuda' if torch.cuda.is_available() else 'cpu')
        size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
        encoder = get_model(model, pretrained, img_size=size) if isinstance(model, str) else model
        self.encoder, self.size = encoder.to(self.device).eval(), size
        self.mean, self.std = (torch.tensor(x, device=self.device).view(-1, 1, 1) for x in (mean, std))
        reading = reading or reading_for(_channels_of(encoder, len(mean)), mean, std)
        self.read = ImageReader(size, reading, batch_size, threads)

    @classmethod
    def from_config(cls, config: str | Config, checkpoint: str | None = None, **settings: object) -> 'FeatureExtractor':
        """Take the encoder, the size of images, mean, std and how files are read from a config.

        Raises:
            ValueError: as of `build_encoder`.
        """
        config = Config.fromfile(config) if isinstance(config, str) else config
        own = dict(image_size=input_size(config), **normalization(config))
        own['reading'] = reading_of(config)
        return cls(build_encoder(config, checkpoint), **(own | settings))

    @classmethod
    def from_file(cls, path: str | os.PathLike, **settings: object) -> 'FeatureExtractor':
        """Take all from a file that describes its encoder, as `save_encoder` and export_model.py write.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it does not describe its encoder.
        """
        card = read_card(path)
        own = dict(image_size=card.image_size, mean=card.mean, std=card.std) | settings
        return cls(load_encoder(path), **own)

    def __call__(self, images: ImageLikes, kind: str = 'pooled') -> np.ndarray:
        """Compute features, float32: 'pooled' (B, C), 'maps' (B, C, h, w) or 'tokens' (B, h * w, C), of the last map.

        Raises:
            ValueError: an unknown kind, or nothing that can be read.
        """
        return self.with_names(images, kind)[1]

    def save(self, images: ImageLikes, out: str | os.PathLike, kind: str = 'pooled') -> Path:
        """Write features with the names of the files, those left out that cannot be read.

        Args:
            images: As of `__call__`; arrays are named by their number.
            out: An .npz file with `features` and `names`, or a .parquet file with these columns (needs pyarrow).
            kind: As of `__call__`; tables hold pooled features only.

        Raises:
            ValueError: another extension, features that are not one vector per image, or nothing that can be read.
            ImportError: a .parquet file without pyarrow; nothing was computed yet.
        """
        out = Path(out)
        if out.suffix not in ('.npz', '.parquet') or (out.suffix == '.parquet' and kind != 'pooled'):
            raise ValueError(f'{out} for {kind} features: give a name that ends in .npz, or .parquet for pooled ones')
        if out.suffix == '.parquet':
            pyarrow, parquet = (need(name, f'{out}') for name in ('pyarrow', 'pyarrow.parquet'))
        out.parent.mkdir(parents=True, exist_ok=True)
        names, features = self.with_names(images, kind)
        if out.suffix == '.npz':
            np.savez(out, features=features, names=np.array(names))
        else:
            rows = pyarrow.FixedSizeListArray.from_arrays(features.ravel(), features.shape[1])
            parquet.write_table(pyarrow.table(dict(names=_column(names), features=rows)), out)
        return out

    def with_names(self, images: ImageLikes, kind: str = 'pooled') -> tuple[list[str], np.ndarray]:
        """Compute the features of all images that can be read, and return them with the names of the images.

        Raises:
            ValueError: as of `__call__`.
        """
        _check_kind(kind)
        names, features = [], []
        for of_batch, pixels in self.read(images):
            names += of_batch
            features.append(self.encode(torch.from_numpy(pixels).permute(0, 3, 1, 2), kind))
        if not features:
            raise ValueError('there is no image that can be read among those given')
        return names, np.concatenate(features)

    def open_all(self, paths: Sequence[str]) -> Tensor:
        """Read files as the encoder gets them, all of them or none: (B, C, H, W), in their own units.

        Raises:
            ValueError: one cannot be read.
        """
        return self.read.reading.read_all(paths, self.size)

    def encode(self, pixels: Tensor, kind: str = 'pooled') -> np.ndarray:
        """Compute features of what `open_all` gives, as `__call__` does.

        Raises:
            ValueError: an unknown kind.
        """
        _check_kind(kind)
        return KINDS[kind](self._encode(pixels)).float().cpu().numpy()

    def as_shown(self, pixels: Tensor) -> np.ndarray:
        """Return images (B, C, H, W) for display: uint8 (B, H, W, 3), the first three of more channels (`to_show`)."""
        photos = not self.read.reading.is_of_bands
        display = first_three(to_show(self.normalize(pixels), self.mean, self.std, photos))
        return display.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).cpu().numpy()

    def normalize(self, pixels: Tensor) -> Tensor:
        """Bring pixels (B, C, H, W) to what the encoder takes, on its device."""
        return (pixels.to(self.device).float() - self.mean) / self.std

    @torch.no_grad()
    def _encode(self, pixels: Tensor) -> Tensor:
        """Encode images (B, C, H, W): the last map (B, C, h, w)."""
        return self.encoder(self.normalize(pixels))[-1]


def _column(names: list[str]) -> list[str] | list[bytes]:
    """Return names as a table can hold them: bytes if one of them is not UTF-8."""
    try:
        ''.join(names).encode()
    except UnicodeEncodeError:
        return [os.fsencode(name) for name in names]
    return names


def _check_kind(kind: str) -> None:
    """Check that an encoder has features of a kind."""
    if kind not in KINDS:
        raise ValueError(f"kind '{kind}' is unknown: take one of {', '.join(KINDS)}")


def _channels_of(encoder: nn.Module, default: int) -> int:
    """Return the channels of an encoder's images; `default` for encoders of other libraries."""
    return getattr(getattr(getattr(encoder, 'patch_embed', None), 'proj', None), 'in_channels', default)
