"""Features of pictures, from whatever holds them to arrays and files.

Letters: B pictures, H x W pixels, C channels, h x w tokens.
"""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import print_log
from PIL import Image, ImageOps
from torch import Tensor, nn

from mixmae_mm.datasets.listing import list_pictures
from mixmae_mm.datasets.loading import LoadPicture, UnreadablePictureError
from mixmae_mm.inference.models import IMAGENET, build_encoder, get_model, normalisation, picture_size

Picture = str | os.PathLike | np.ndarray | Image.Image
KINDS = {
    'pooled': lambda maps: maps.mean((2, 3)),
    'maps': lambda maps: maps,
    'tokens': lambda maps: maps.flatten(2).transpose(1, 2),
}


class FeatureExtractor:
    """What an encoder makes of pictures: a picture, a folder of them at any depth, an array, or a list of any.

        extract = FeatureExtractor('mixmim-swin-base', 'pretrained.pth')
        extract('picture.jpg')                           # (1, 1024)
        extract.save('folder', 'features.npz')           # features and file names

    Pictures are turned upright, scaled and cropped in the middle to `image_size`.

    Args:
        model: An encoder, or a name for `get_model`.
        pretrained: Its checkpoint, where it is a name.
        image_size: Height and width in pixels, or one number for both.
        mean: Of R, G and B, from 0 to 255.
        std: The same.
        device: Where to compute; None takes the GPU if there is one.
        batch_size: Pictures at a time.
        threads: How many read pictures.

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
    ) -> None:
        if pretrained is not None and not isinstance(model, str):
            raise ValueError("pretrained goes with a model's name; load an encoder of your own by load_backbone")
        self.device = device or ('cuda' if torch.cuda.is_available() else 'cpu')
        size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
        encoder = get_model(model, pretrained, img_size=size) if isinstance(model, str) else model
        self.encoder, self.size = encoder.to(self.device).eval(), size
        self.mean, self.std = (torch.tensor(x, device=self.device).view(-1, 1, 1) for x in (mean, std))
        self.batch_size, self.threads = batch_size, threads
        self.load = LoadPicture()

    @classmethod
    def from_config(cls, config: str | Config, checkpoint: str | None = None, **settings: object) -> 'FeatureExtractor':
        """Take encoder, size of pictures, mean and std from a config.

        Raises:
            ValueError: as of `build_encoder`.
        """
        config = Config.fromfile(config) if isinstance(config, str) else config
        own = dict(image_size=picture_size(config), **normalisation(config))
        return cls(build_encoder(config, checkpoint), **(own | settings))

    def __call__(self, pictures: Picture | Iterable[Picture], kind: str = 'pooled') -> np.ndarray:
        """Compute features, float32: 'pooled' (B, C), 'maps' (B, C, h, w) or 'tokens' (B, h * w, C), of the last map.

        Raises:
            ValueError: an unknown kind, or nothing that can be read.
        """
        return self.with_names(pictures, kind)[1]

    def save(self, pictures: Picture | Iterable[Picture], out: str | os.PathLike, kind: str = 'pooled') -> Path:
        """Write features with the names of the files, those left out that cannot be read.

        Args:
            pictures: As of `__call__`; arrays are named by their number.
            out: An .npz file with `features` and `names`, or a .parquet file with these columns (needs pyarrow).
            kind: As of `__call__`; tables hold pooled features only.

        Raises:
            ValueError: another ending, features that are no table, or nothing that can be read.
            ImportError: a .parquet file without pyarrow; nothing was computed yet.
        """
        out = Path(out)
        if out.suffix not in ('.npz', '.parquet') or (out.suffix == '.parquet' and kind != 'pooled'):
            raise ValueError(f'{out} for {kind} features: give a name that ends in .npz, or .parquet for pooled ones')
        if out.suffix == '.parquet':
            import pyarrow
            import pyarrow.parquet
        out.parent.mkdir(parents=True, exist_ok=True)
        names, features = self.with_names(pictures, kind)
        if out.suffix == '.npz':
            np.savez(out, features=features, names=np.array(names))
        else:
            columns = dict(
                names=names, features=pyarrow.FixedSizeListArray.from_arrays(features.ravel(), features.shape[1])
            )
            pyarrow.parquet.write_table(pyarrow.table(columns), out)
        return out

    def with_names(self, pictures: Picture | Iterable[Picture], kind: str = 'pooled') -> tuple[list[str], np.ndarray]:
        """Compute the features of all pictures that can be read, and tell whose they are.

        Raises:
            ValueError: as of `__call__`.
        """
        if kind not in KINDS:
            raise ValueError(f"kind '{kind}' is unknown: take one of {', '.join(KINDS)}")
        names, features = [], []
        for of_batch, pixels in self._batches(pictures):
            names += of_batch
            features.append(KINDS[kind](self._encode(pixels)).float().cpu().numpy())
        if not features:
            raise ValueError('there is no picture that can be read among those given')
        return names, np.concatenate(features)

    @torch.no_grad()
    def _encode(self, pixels: Tensor) -> Tensor:
        """Encode RGB pictures, uint8 (B, 3, H, W): the last map (B, C, h, w)."""
        return self.encoder((pixels.to(self.device).float() - self.mean) / self.std)[-1]

    def _batches(self, pictures: Picture | Iterable[Picture]) -> Iterator[tuple[list[str], Tensor]]:
        """Yield names and pixels, uint8 (B, 3, H, W)."""
        listed = iter(enumerate(_list(pictures)))
        with ThreadPoolExecutor(self.threads) as pool:
            while chunk := list(islice(listed, self.batch_size)):
                read = [one for one in pool.map(lambda numbered: self._read(*numbered), chunk) if one is not None]
                if read:
                    names, pixels = zip(*read, strict=True)
                    yield list(names), torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)

    def _read(self, number: int, picture: Picture) -> tuple[str, np.ndarray] | None:
        """Give a picture's name and its pixels, (H, W, 3); None, and a warning, if it cannot be read."""
        name = str(number)
        if isinstance(picture, str | os.PathLike):
            name = os.fspath(picture)
            try:
                picture = self.load(dict(img_path=name))['img']
            except UnreadablePictureError as error:
                print_log(f'left out: {error}', logger='current', level=logging.WARNING)
                return None
        elif isinstance(picture, Image.Image):
            picture = self.load.decode(picture)
        fitted = ImageOps.fit(Image.fromarray(picture), self.size[::-1], Image.Resampling.BICUBIC)
        return name, np.asarray(fitted)


def _list(pictures: Picture | Iterable[Picture]) -> Iterable[Picture]:
    """List single pictures.

    Raises:
        ValueError: a folder without pictures, or an array that holds none.
    """
    if isinstance(pictures, str | os.PathLike):
        path = os.fspath(pictures)
        return (entry['img_path'] for entry in list_pictures(path)) if os.path.isdir(path) else [path]
    if isinstance(pictures, Image.Image):
        return [pictures]
    if isinstance(pictures, np.ndarray):
        if pictures.dtype != np.uint8 or pictures.ndim not in (3, 4) or pictures.shape[-1] != 3:
            raise ValueError(
                f'an array of {pictures.dtype} {pictures.shape} holds no pictures: give RGB, uint8, (H, W, 3) or '
                '(B, H, W, 3)'
            )
        return [pictures] if pictures.ndim == 3 else pictures
    return (single for picture in pictures for single in _list(picture))
