"""Reconstruction of images from Python, as arrays, errors and an image grid.

Letters: B images, G mixtures, K images in each, H x W pixels, C channels, h x w cells.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from PIL import Image
from torch import Tensor, nn

from mixmae_mm.apis.model import build_pretrainer, input_size
from mixmae_mm.datasets import ImageFolder
from mixmae_mm.datasets.image_reader import ImageLikes, ImageReader, image_loader_of
from mixmae_mm.mixing import MixedImages, resize_assignment, visible
from mixmae_mm.structures import Reconstructions
from mixmae_mm.utils.names import expand
from mixmae_mm.utils.seed import seeded
from mixmae_mm.visualization import describe, draw_rows
from mixmae_mm.visualization.image_grid import can_be_written


class ReconstructionResult(NamedTuple):
    """Reconstructions, uint8, channels last; multispectral images as utils/denormalize.py displays them.

    `names` are paths, or indices among the given images. A reconstruction is the prediction where the image was masked,
    and the original where it was visible. `assignment` holds the image that each cell comes from, -1 for none; `errors`
    are root mean squared differences over the masked pixels, from 0 to 255.
    """

    names: list[list[str]]  # G lists of K
    sources: np.ndarray  # (G, K, H, W, C)
    mixed: np.ndarray  # (G, H, W, C)
    reconstructed: np.ndarray  # (G, K, H, W, C)
    assignment: np.ndarray  # (G, h, w), int64
    errors: np.ndarray  # (G, K), float32


class ReconstructionInferencer:
    """Inferencer that mixes and reconstructs images as in training: from a folder, files, arrays, or a list of these.

        inferencer = ReconstructionInferencer('CONFIG.py', 'CHECKPOINT.pth')
        result = inferencer('folder', seed=0)           # arrays, and the error of each image
        inferencer.save('folder', 'grid.png')           # the same, drawn

    Images are mixed in the given order, K to a mixture (2 in MixMAE, 4 in MixedAE, 1 in MAE); an incomplete group at
    the end is dropped. With `norm_pix`, each predicted cell has the mean and standard deviation of the original cell,
    so errors in these do not count. `batch_size` is in mixtures.
    """

    def __init__(
        self, config: str | Config, checkpoint: str, device: str | None = None, batch_size: int = 8, threads: int = 4
    ) -> None:
        config = Config.fromfile(config) if isinstance(config, str) else config
        self.model = build_pretrainer(config, checkpoint, device)
        self.read = ImageReader(input_size(config), image_loader_of(config), batch_size * self.num_sources, threads)

    @property
    def num_sources(self) -> int:
        """Number of images in a mixture, K."""
        return self.model.data_preprocessor.num_sources

    def __call__(self, images: ImageLikes, seed: int = 0) -> ReconstructionResult:
        """Reconstruct images; `seed` decides which cells are masked.

        Raise ValueError if there are too few images for one mixture.
        """
        names, result = self._reconstruct(images, seed)
        sources, mixed, reconstructed = (x.movedim(-3, -1).cpu().numpy() for x in result[:3])
        assignment = result.assignment.cpu().numpy()
        return ReconstructionResult(names, sources, mixed, reconstructed, assignment, masked_errors(result))

    def visualize(self, images: ImageLikes, seed: int = 0) -> Image.Image:
        """Draw a row for each mixture: the originals, what the encoder saw, and the reconstructions."""
        result = self._reconstruct(images, seed)[1]
        return draw_rows(result, describe(self.model, result))

    def save(self, images: ImageLikes, out: str | os.PathLike, seed: int = 0) -> Path:
        """Write the drawing of `visualize` to an image file."""
        out = Path(out)
        if not can_be_written(out):
            raise ValueError(f'{out} needs an image extension, such as .png')
        grid = self.visualize(images, seed)
        out.parent.mkdir(parents=True, exist_ok=True)
        grid.save(out)
        return out

    def _reconstruct(self, images: ImageLikes, seed: int) -> tuple[list[list[str]], Reconstructions]:
        """Read, mix and reconstruct all images; each batch has its own seed, so that assignments differ."""
        read = list(self.read(images))
        names = [name for of_batch, _ in read for name in of_batch]
        whole = len(names) // self.num_sources * self.num_sources
        if not whole:
            raise ValueError(f'a mixture takes {self.num_sources} image(s), but {len(names)} can be read')
        pixels = torch.from_numpy(np.concatenate([pixels for _, pixels in read])[:whole]).permute(0, 3, 1, 2)
        results = []
        for number, batch in enumerate(pixels.split(self.read.batch_size // self.num_sources * self.num_sources)):
            result = reconstruct(self.model, batch.float(), seed + number)
            results.append(result._replace(assignment=result.assignment.expand(len(result.mixed), -1, -1)))
        groups = np.array(names[:whole]).reshape(-1, self.num_sources).tolist()
        return groups, Reconstructions(*(torch.cat(parts) for parts in zip(*results, strict=True)))


def masked_errors(result: Reconstructions) -> np.ndarray:
    """Return the root mean squared difference over each image's masked pixels, from 0 to 255: (G, K)."""
    size, num_sources = tuple(result.mixed.shape[-2:]), result.sources.shape[1]
    masked = ~visible(resize_assignment(result.assignment, size), num_sources)[:, :, None]
    squares = (result.reconstructed.float() - result.sources.float()).square().mean(dim=2, keepdim=True)
    return ((squares * masked).sum((2, 3, 4)) / masked.sum((2, 3, 4))).sqrt().cpu().numpy()


def choose_image_files(
    places: Sequence[str], wanted: int, num_sources: int, seed: int, extensions: tuple[str, ...] | None = None
) -> list[str]:
    """List files, and images below folders, in whole groups; if more than `wanted`, draw that many by `seed`.

    Raise ValueError for a place that does not exist, and for fewer images than a mixture takes.
    """
    found = []
    for place in map(expand, places):
        listed = [] if os.path.isfile(place) else ImageFolder(place, extensions=extensions).data_list
        found += [entry['img_path'] for entry in listed] if listed else [place]
    if len(found) > wanted:
        found = [found[i] for i in np.random.default_rng(seed).choice(len(found), wanted, replace=False)]
    if len(found) < num_sources:
        raise ValueError(f'{len(found)} image(s) for mixtures of {num_sources}: give {num_sources} or more')
    return found[: len(found) // num_sources * num_sources]


@torch.no_grad()
def reconstruct(model: BaseModel, images: Tensor, seed: int) -> Reconstructions:
    """Mix images (B, C, H, W), photos in RGB, and reconstruct them: one mixture per group, led by its first image."""
    return model(mix_once(model.data_preprocessor, images, seed), mode='predict')


def mix_once(preprocessor: nn.Module, images: Tensor, seed: int) -> MixedImages:
    """Mix images (B, C, H, W), photos in RGB: one mixture per group, led by its first image, whatever `take_turns`."""
    images = images.flip(1) if preprocessor.bgr_to_rgb else images
    with seeded(seed):
        mixtures = preprocessor({'inputs': images}, training=True)['inputs']
    turns = preprocessor.num_sources if preprocessor.take_turns else 1
    return MixedImages(*(None if part is None else part[::turns] for part in mixtures))


def mix_otherwise(model: BaseModel, num_sources: int | None = None, mask_ratio: float | None = None) -> None:
    """Make a model mix another number of images, in equal shares, or mask another share of the first image.

    Raise ValueError for a number that the encoder is not made for, or a ratio that masks nothing or everything.
    """
    preprocessor, encoder = model.data_preprocessor, model.backbone
    if num_sources not in (None, preprocessor.num_sources):
        vectors = getattr(encoder, 'num_segments', 0)
        if 0 < vectors < num_sources:
            raise ValueError(f'mixtures of {num_sources} images, but this encoder has vectors for {vectors}')
        own = getattr(encoder, 'num_sources', None)
        if own is not None and (getattr(encoder, 'segment_embed', None) is not None or encoder.attention != 'global'):
            raise ValueError(
                f'mixtures of {num_sources} images, but this encoder is for {own}; plain attention takes any'
            )
        preprocessor.num_sources, preprocessor.mask_ratio, preprocessor.shares = num_sources, None, None
    if mask_ratio is not None:
        if not 0 < mask_ratio < 1:
            raise ValueError(f'masking ratio must be above 0 and below 1, got {mask_ratio}')
        preprocessor.mask_ratio, preprocessor.shares = mask_ratio, None
    if preprocessor.num_sources == 1 and not (preprocessor.mask_ratio or preprocessor.shares):
        raise ValueError('one image per mixture leaves nothing to reconstruct: also set a masking ratio')
