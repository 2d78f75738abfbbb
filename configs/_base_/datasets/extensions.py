"""The extensions of images, for datasets with classes: those that pre-training reads (mixmae_mm.datasets.EXTENSIONS)."""

extensions = [
    '.avif', '.bmp', '.dib', '.gif', '.j2k', '.jfif', '.jp2', '.jpe', '.jpeg', '.jpg', '.pbm', '.pgm', '.png', '.pnm',
    '.ppm', '.tif', '.tiff', '.webp',
]  # fmt: skip
