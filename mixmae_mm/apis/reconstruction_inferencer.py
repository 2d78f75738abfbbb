"""Reconstructions of images from Python, as arrays, errors and an image grid.

Letters: B images, G mixtures, K images in each, H x W pixels, C channels, h x w cells.
"""

import os
from collections.abc import Iterator, Sequence
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
from mixmae_mm.datasets.image_reader import ImageLikes, ImageReader, reading_of
from mixmae_mm.mixing import MixedImages, resize_assignment, visible
from mixmae_mm.structures import Reconstructions
from mixmae_mm.utils.names import expand
from mixmae_mm.utils.seed import seeded
from mixmae_mm.visualization import describe, draw_rows
from mixmae_mm.visualization.image_grid import can_be_written


class Reconstructed(NamedTuple):
    """Reconstructions, uint8, channels last; of multispectral images what utils/denormalize.py displays."""

    names: list[list[str]]
    """The name of each image: its path, or its index among those given; G lists of K."""
    sources: np.ndarray
    """The images, (G, K, H, W, C)."""
    mixed: np.ndarray
    """What the encoder saw, (G, H, W, C)."""
    reconstructed: np.ndarray
    """Each as decoded: predicted where it was masked, the original where it was visible, (G, K, H, W, C)."""
    assignment: np.ndarray
    """The image that each cell comes from, -1 for none, int64 (G, h, w)."""
    errors: np.ndarray
    """Root of the mean squared difference over the masked pixels, from 0 to 255: float32 (G, K)."""


class ReconstructionInferencer:
    """Mix images as a model was trained to, and reconstruct each: a folder, files, arrays, or a list of any.

        inferencer = ReconstructionInferencer('CONFIG.py', 'CHECKPOINT.pth')
        result = inferencer('folder', seed=0)           # arrays, and the error of each image
        inferencer.save('folder', 'grid.png')           # the same, drawn

    Images are taken in the order given, K to a mixture (MixMAE's 2, MixedAE's 4, MAE's 1); what is left over at the
    end is left out. With `norm_pix` the mean and standard deviation of each predicted cell come from the original,
    and errors do not count what they would be off.

    Args:
        config: Of a pre-training.
        checkpoint: What it wrote.
        device: Where to compute; None takes the GPU if there is one.
        batch_size: Mixtures at a time.
        threads: How many read images.

    Raises:
        ValueError: the config mixes nothing, or the checkpoint is of another model.
    """

    def __init__(
        self,
        config: str | Config,
        checkpoint: str,
        device: str | None = None,
        batch_size: int = 8,
        threads: int = 4,
    ) -> None:
        config = Config.fromfile(config) if isinstance(config, str) else config
        self.model = build_pretrainer(config, checkpoint)
        self.model.to(device or ('cuda' if torch.cuda.is_available() else 'cpu'))
        self.read = ImageReader(input_size(config), reading_of(config), batch_size * self.num_sources, threads)

    @property
    def num_sources(self) -> int:
        """Count the images in a mixture, K."""
        return self.model.data_preprocessor.num_sources

    def __call__(self, images: ImageLikes, seed: int = 0) -> Reconstructed:
        """Reconstruct images; the seed decides which cells are masked.

        Raises:
            ValueError: there are fewer images that can be read than a mixture takes.
        """
        names, result = self._reconstruct(images, seed)
        sources, mixed, reconstructed = (x.movedim(-3, -1).cpu().numpy() for x in result[:3])
        assignment = result.assignment.cpu().numpy()
        return Reconstructed(names, sources, mixed, reconstructed, assignment, masked_errors(result))

    def visualize(self, images: ImageLikes, seed: int = 0) -> Image.Image:
        """Draw them: a row a mixture, with the originals, what the encoder saw, and the reconstructions.

        Raises:
            ValueError: as of `__call__`.
        """
        result = self._reconstruct(images, seed)[1]
        return draw_rows(result, describe(self.model, result))

    def save(self, images: ImageLikes, out: str | os.PathLike, seed: int = 0) -> Path:
        """Write the drawing of `visualize` to a file, such as a .png.

        Raises:
            ValueError: as of `__call__`; a name that ends as no image's.
        """
        out = Path(out)
        if not can_be_written(out):
            raise ValueError(f'{out}: give a name that ends in .png, or as another image')
        grid = self.visualize(images, seed)
        out.parent.mkdir(parents=True, exist_ok=True)
        grid.save(out)
        return out

    def _reconstruct(self, images: ImageLikes, seed: int) -> tuple[list[list[str]], Reconstructions]:
        """Read, group, mix and reconstruct all; each batch has a seed of its own, so that its mixtures are new."""
        names, results = [], []
        for number, (of_batch, pixels) in enumerate(self._groups(images)):
            inputs = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
            result = reconstruct(self.model, inputs, seed + number)
            owners = result.assignment.expand(len(result.mixed), -1, -1)
            results.append(result._replace(assignment=owners))
            names += np.array(of_batch).reshape(-1, self.num_sources).tolist()
        if not results:
            raise ValueError(f'a mixture takes {self.num_sources} image(s), and fewer that can be read were given')
        return names, Reconstructions(*(torch.cat(parts) for parts in zip(*results, strict=True)))

    def _groups(self, images: ImageLikes) -> Iterator[tuple[list[str], np.ndarray]]:
        """Yield names and pixels of complete groups; the rest of a group waits for the next batch."""
        names, pixels = [], []
        for of_batch, read in self.read(images):
            names, pixels = names + of_batch, [*pixels, *read]
            whole = len(names) // self.num_sources * self.num_sources
            if whole:
                yield names[:whole], np.stack(pixels[:whole])
            names, pixels = names[whole:], pixels[whole:]


def masked_errors(result: Reconstructions) -> np.ndarray:
    """Return the root of the mean squared difference over each image's masked pixels, from 0 to 255: (G, K)."""
    size, num_sources = tuple(result.mixed.shape[-2:]), result.sources.shape[1]
    masked = ~visible(resize_assignment(result.assignment, size), num_sources)[:, :, None]
    squares = (result.reconstructed.float() - result.sources.float()).square().mean(dim=2, keepdim=True)
    return ((squares * masked).sum((2, 3, 4)) / masked.sum((2, 3, 4))).sqrt().cpu().numpy()


def find_images(
    places: Sequence[str], wanted: int, num_sources: int, seed: int, extensions: tuple[str, ...] | None = None
) -> list[str]:
    """List the images to draw: files, and those below folders; if there are more than wanted, a seeded choice of them.

    `extensions` are those of images' names, None for the usual ones.

    Raises:
        ValueError: a place does not exist, or there are fewer images than sources in a mixture.
    """
    found = [path for place in places for path in _files(place, extensions)]
    if len(found) > wanted:
        chosen = np.random.default_rng(seed).choice(len(found), wanted, replace=False)
        found = [found[i] for i in chosen]
    if len(found) < num_sources:
        raise ValueError(f'{len(found)} image(s) cannot be mixed by {num_sources}: give {num_sources} or more')
    return found[: len(found) // num_sources * num_sources]


def _files(place: str, extensions: tuple[str, ...] | None) -> list[str]:
    """List the images below a folder; a file is itself."""
    place = expand(place)
    if Path(place).is_file():
        return [place]
    return [entry['img_path'] for entry in ImageFolder(place, extensions=extensions).data_list]


@torch.no_grad()
def reconstruct(model: BaseModel, images: Tensor, seed: int) -> Reconstructions:
    """Mix images (B, C, H, W), photos in RGB, and reconstruct them: one mixture a group, led by its first image."""
    return model(mix_once(model.data_preprocessor, images, seed), mode='predict')


def mix_once(preprocessor: nn.Module, images: Tensor, seed: int) -> MixedImages:
    """Mix images (B, C, H, W), photos in RGB: one mixture a group, led by its first image, also of turns."""
    images = images.flip(1) if preprocessor.bgr_to_rgb else images
    with seeded(seed):
        mixtures = preprocessor({'inputs': images}, training=True)['inputs']
    turns = preprocessor.num_sources if preprocessor.take_turns else 1
    return MixedImages(*(None if part is None else part[::turns] for part in mixtures))


def mix_otherwise(model: BaseModel, num_sources: int | None = None, mask_ratio: float | None = None) -> None:
    """Change how a model mixes images; another number of sources gets equal shares unless `mask_ratio` is given.

    Args:
        model: Of pre-training.
        num_sources: Images in a mixture; None leaves them.
        mask_ratio: Share of the first image that is masked, above 0 and below 1; None leaves it.

    Raises:
        ValueError: a number that the encoder is not made for, or a ratio that masks nothing or all.
    """
    preprocessor = model.data_preprocessor
    if num_sources not in (None, preprocessor.num_sources):
        _check_encodes(model.backbone, num_sources)
        preprocessor.num_sources, preprocessor.mask_ratio, preprocessor.shares = num_sources, None, None
    if mask_ratio is not None:
        if not 0 < mask_ratio < 1:
            raise ValueError(f'a masking ratio of {mask_ratio}: give a share above 0 and below 1')
        preprocessor.mask_ratio, preprocessor.shares = mask_ratio, None
    if preprocessor.num_sources == 1 and not (preprocessor.mask_ratio or preprocessor.shares):
        raise ValueError('one image a mixture leaves nothing to reconstruct: give a masking ratio too')


def _check_encodes(encoder: nn.Module, num_sources: int) -> None:
    """Check that an encoder can encode mixtures of that many images."""
    own, segments = getattr(encoder, 'num_sources', None), getattr(encoder, 'segment_embed', None)
    if own is None or (segments is None and encoder.attention == 'global'):
        return
    raise ValueError(
        f'mixtures of {num_sources} images, but this encoder is for {own}: so are its segment embedding and the '
        f'number of keys that a query keeps. Leave the number out; MixMAE and MixedAE with plain attention take any'
    )
