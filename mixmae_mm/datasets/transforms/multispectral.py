"""Images of any number of channels in TIFF and NumPy files: satellites, microscopes, sensors."""

import inspect
import io
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from mixmae_mm.datasets.transforms.load_image import LoadImage
from mixmae_mm.datasets.transforms.random_resized_crop import LoadRandomResizedCrop, random_crop, resize
from mixmae_mm.registry import TRANSFORMS
from mixmae_mm.utils.optional import need
from mixmae_mm.utils.validation import check_each, check_whole

BAND_EXTENSIONS = ('.tif', '.tiff', '.npy')
TIFF = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')
KINDS = 'uif'  # of numbers: unsigned, signed, floating


@TRANSFORMS.register_module()
class LoadMultispectral(LoadImage):
    """Read `img_path`, TIFF or .npy, into `img`: (H, W, C) in the numbers of the file.

    Files are recognized by their first bytes, not their names. Of a TIFF file the first series of pages is taken, with
    channels stored side by side or page by page; arrays are (H, W), (H, W, C), or (C, H, W) if `channels_first`. All
    channels are data, a fourth one too, and nothing is rotated: alpha and orientation belong to photos. An image with
    NaN or infinity is corrupt. TIFF needs `pip install tifffile`, of some compressions imagecodecs too.

    Args:
        bands: Which channels to take, from 0, in this order; None for all.
        channels: How many channels a file must have; one with another number is corrupt. None for any.
        channels_first: .npy files hold (C, H, W).
        backend_args: As of `LoadImage`.

    Raises:
        ValueError: `bands` holds invalid numbers.
    """

    def __init__(
        self,
        bands: tuple[int, ...] | None = None,
        channels: int | None = None,
        channels_first: bool = False,
        backend_args: dict | None = None,
    ) -> None:
        super().__init__(backend_args=backend_args)
        if bands is not None:
            check_each(partial(check_whole, 0), bands=bands)
        self.bands = None if bands is None else list(bands)
        self.channels, self.channels_first = channels, channels_first

    def _read(self, content: bytes) -> tuple[np.ndarray, tuple[int, int]]:
        """Decode a file; return also (height, width)."""
        pixels = self.read_bands(content)
        return np.ascontiguousarray(pixels), pixels.shape[:2]

    def read_bands(self, content: bytes) -> np.ndarray:
        """Turn a file's bytes into the chosen channels, (H, W, C).

        Raises:
            ValueError: it holds no image, another number of channels, or NaN.
        """
        if content.startswith(TIFF):
            pixels = _read_tiff(content)
        elif content.startswith(b'\x93NUMPY'):
            pixels = lay_out(np.load(io.BytesIO(content), allow_pickle=False), self.channels_first)
        else:
            raise ValueError('neither a TIFF nor an .npy file, whatever its name says')
        return self.take_bands(pixels)

    def take_bands(self, pixels: np.ndarray) -> np.ndarray:
        """Take the chosen channels of (H, W, C).

        Raises:
            ValueError: another number of channels, or NaN.
        """
        if self.channels not in (None, pixels.shape[2]):
            raise ValueError(f'{pixels.shape[2]} channels, and not {self.channels}')
        pixels = pixels if self.bands is None else pixels[..., self.bands]
        if pixels.dtype.kind == 'f' and not np.isfinite(pixels).all():
            raise ValueError('some pixels are not finite numbers: fill them in, or leave the image out')
        return pixels


@TRANSFORMS.register_module()
class LoadMultispectralRandomResizedCrop(LoadMultispectral):
    """Read a random crop of a multispectral image, resized (bicubic, antialiased): uint8 stays, all else gets float32.

    Args:
        scale: Height and width, or a side, in pixels.
        crop_ratio_range: Least and greatest area of the part, over the image's.
        aspect_ratio_range: Least and greatest width of the part over its height.
        settings: Of `LoadMultispectral`.
    """

    def __init__(
        self,
        scale: int | tuple[int, int],
        crop_ratio_range: tuple[float, float] = (0.08, 1.0),
        aspect_ratio_range: tuple[float, float] = (3 / 4, 4 / 3),
        **settings: object,
    ) -> None:
        super().__init__(**settings)
        self.crop = random_crop(scale, crop_ratio_range=crop_ratio_range, aspect_ratio_range=aspect_ratio_range)

    def _read(self, content: bytes) -> tuple[np.ndarray, tuple[int, int]]:
        """Decode a part of a file; return also the (height, width) of the image."""
        pixels = self.read_bands(content)
        top, left, height, width = self.crop.rand_crop_params(pixels)
        part = pixels[top : top + height, left : left + width]
        part = part if part.dtype == np.uint8 else part.astype(np.float32)
        return resize(part, tuple(self.crop.scale)), pixels.shape[:2]


def whole_reader(pipeline: Sequence[dict | Callable]) -> LoadImage | None:
    """Build a transform that reads whole images as a pipeline reads them; None if none of ours reads there."""
    for transform in pipeline:
        kind = _kind_of(transform)
        if issubclass(kind, LoadImage):
            of_parts = {LoadMultispectralRandomResizedCrop: LoadMultispectral, LoadRandomResizedCrop: LoadImage}
            kind = next((whole for part, whole in of_parts.items() if issubclass(kind, part)), kind)
            own = inspect.signature(kind.__init__).parameters
            given = transform if isinstance(transform, dict) else vars(transform)
            return kind(**{name: value for name, value in given.items() if name in own})
    return None


def _kind_of(transform: dict | Callable) -> type:
    """Return the class of a transform or of its settings, without importing downstream libraries for seconds."""
    kind = transform.get('type') if isinstance(transform, dict) else type(transform)
    if isinstance(kind, str):
        kind = TRANSFORMS.get(kind) if kind.startswith('mixmae_mm.') or '.' not in kind else object
    return kind if isinstance(kind, type) else object


def _read_tiff(content: bytes) -> np.ndarray:
    """Read a TIFF file's first series as (H, W, C)."""
    tifffile = need('tifffile', 'reading multispectral TIFF files')
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        if not file.series:
            raise ValueError('the TIFF file holds no image')
        series = file.series[0]
        pixels, axes = _numbers_of(series), series.axes
    keep = [axis for axis, size in zip(axes, pixels.shape, strict=True) if size > 1 or axis in 'YX']
    pixels = pixels.reshape([size for axis, size in zip(axes, pixels.shape, strict=True) if size > 1 or axis in 'YX'])
    if keep.count('Y') != 1 or keep.count('X') != 1 or len(keep) > 3:
        raise ValueError(f'the TIFF file holds {axes} {series.shape}, not rows, columns and channels')
    pixels = pixels[..., None] if len(keep) == 2 else pixels
    bands = [axis for axis in range(len(keep)) if keep[axis] not in 'YX'] or [2]
    return _check_numbers(pixels.transpose(keep.index('Y'), keep.index('X'), *bands))


def _numbers_of(series: Any) -> np.ndarray:
    """Decode a series of pages."""
    try:
        return series.asarray()
    except Exception as error:
        if isinstance(error, ImportError) or 'imagecodecs' in str(error):
            compression = series.keyframe.compression.name
            raise ImportError(f'{compression} in TIFF files needs imagecodecs: pip install imagecodecs') from error
        raise


def lay_out(pixels: np.ndarray, channels_first: bool) -> np.ndarray:
    """Bring an array (H, W), (H, W, C), or (C, H, W) if `channels_first`, to (H, W, C).

    Raises:
        ValueError: its shape is that of no image, or it holds no numbers.
    """
    if pixels.ndim == 2:
        pixels = pixels[None] if channels_first else pixels[..., None]
    if pixels.ndim != 3 or not pixels.size:
        raise ValueError(f'an array {pixels.shape} is not an image (H, W, C)')
    return _check_numbers(pixels.transpose(1, 2, 0) if channels_first else pixels)


def _check_numbers(pixels: np.ndarray) -> np.ndarray:
    """Return numbers in the byte order of this machine, those of 64 bits in 32."""
    if pixels.dtype.kind not in KINDS:
        raise ValueError(f'pixels of type {pixels.dtype} are not an image: save integers or floating point numbers')
    small = pixels.dtype.itemsize <= (4 if pixels.dtype.kind == 'f' else 2)
    return pixels.astype(pixels.dtype.newbyteorder('=') if small else np.float32, copy=False)
