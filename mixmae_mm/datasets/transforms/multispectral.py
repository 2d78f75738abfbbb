"""Images with any number of channels in TIFF and NumPy files: from satellites, microscopes, other sensors."""

import io
from collections.abc import Sequence

import numpy as np

from mixmae_mm.datasets.transforms.load_image import LoadImage
from mixmae_mm.datasets.transforms.random_resized_crop import RandomCrop
from mixmae_mm.registry import TRANSFORMS
from mixmae_mm.utils.optional import need

TIFF = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')


@TRANSFORMS.register_module()
class LoadMultispectral(LoadImage):
    """Read `img_path`, a TIFF or .npy file, into `img`: (H, W, C) in the file's data type.

    Float64 and integers above 16 bits become float32. The first series of pages of a TIFF file is read, with channels
    interleaved or page by page; arrays are (H, W), (H, W, C), or (C, H, W) if `channels_first`. All channels are data,
    even a fourth one, and nothing is rotated. An image with NaN or infinity is corrupt. TIFF files need tifffile, and
    with some compressions imagecodecs.

    Args:
        select: Indices of the channels to keep, in this order; None for all.
        channels: Number of channels that a file must have, or else it is corrupt; None for any.
        channels_first: Whether .npy files hold (C, H, W).
        backend_args: As in `LoadImage`.
    """

    extensions = ('.tif', '.tiff', '.npy')
    """Extensions of the files that it reads."""

    def __init__(
        self,
        select: Sequence[int] | None = None,
        channels: int | None = None,
        channels_first: bool = False,
        backend_args: dict | None = None,
    ) -> None:
        super().__init__(backend_args=backend_args)
        self.select = None if select is None else list(select)
        self.channels, self.channels_first = channels, channels_first

    def _read(self, content: bytes) -> tuple[np.ndarray, tuple[int, int]]:
        """Decode a file; also return its (height, width)."""
        if content.startswith(TIFF):
            pixels = self.take(_read_tiff(content))
        elif content.startswith(b'\x93NUMPY'):
            pixels = self.take(np.load(io.BytesIO(content), allow_pickle=False), self.channels_first)
        else:
            raise ValueError('neither a TIFF nor an .npy file, whatever its name says')
        return self._part(pixels), pixels.shape[:2]

    def take(self, pixels: np.ndarray, channels_first: bool = False) -> np.ndarray:
        """Select the channels of an array (H, W), (H, W, C), or (C, H, W) if `channels_first`; return (H, W, C)."""
        if pixels.ndim == 2:
            pixels, channels_first = pixels[..., None], False
        if pixels.ndim != 3 or not pixels.size or pixels.dtype.kind not in 'uif':
            raise ValueError(f'an array of {pixels.dtype} {pixels.shape} is not an image: expected numbers (H, W, C)')
        pixels = pixels.transpose(1, 2, 0) if channels_first else pixels
        if self.channels not in (None, pixels.shape[2]):
            raise ValueError(f'{pixels.shape[2]} channels, and not {self.channels}')
        pixels = pixels if self.select is None else pixels[..., self.select]
        small = pixels.dtype.itemsize <= (4 if pixels.dtype.kind == 'f' else 2)
        pixels = pixels.astype(pixels.dtype.newbyteorder('=') if small else np.float32, copy=False)
        if pixels.dtype.kind == 'f' and not np.isfinite(pixels).all():
            raise ValueError('some pixels are not finite: fill them in, or leave the image out')
        return pixels


@TRANSFORMS.register_module()
class LoadMultispectralRandomResizedCrop(RandomCrop, LoadMultispectral):
    """Read a random resized crop of a multispectral image: uint8 stays uint8, anything else becomes float32."""


def _read_tiff(content: bytes) -> np.ndarray:
    """Read the first series of pages of a TIFF file as (H, W) or (H, W, C)."""
    with need('tifffile', 'reading multispectral TIFF files').TiffFile(io.BytesIO(content)) as file:
        series = file.series[0]
        try:
            pixels, axes = series.asarray(), series.axes
        except Exception as error:
            if isinstance(error, ImportError) or 'imagecodecs' in str(error):
                raise ImportError(f'imagecodecs is missing ({error}): pip install imagecodecs') from error
            raise
    if axes.count('Y') != 1 or axes.count('X') != 1 or pixels.ndim > 3:
        raise ValueError(f'the TIFF file holds {axes} {pixels.shape}, not rows, columns and channels')
    channels = [axis for axis in range(pixels.ndim) if axes[axis] not in 'YX']
    return pixels.transpose(axes.index('Y'), axes.index('X'), *channels)
