"""Draw patch features as colors: their three principal components as red, green and blue, and each on its own.

The components are those of all images together, so patches of similar color are similar even in different images.
"""

import argparse

import numpy as np
from drawing import add_images, add_number, add_size, add_stage, choose, patch_features, resize
from mmengine.config import Config
from PIL import Image

from mixmae_mm.visualization import Panel, draw_grid


def principal_components(features: np.ndarray, number: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Compute the principal components of patch features (B, h, w, C) over all images: return scores and shares.

    Scores are (B, h, w, number), shares of the variance (number,). The largest loading of a component is positive.
    """
    flat = features.reshape(-1, features.shape[-1])
    if number > flat.shape[1] or number >= len(flat):
        raise ValueError(
            f'{number} components of {len(flat)} patches with {flat.shape[1]} channels: more patches than components '
            'are needed, and as many channels; use more or larger images'
        )
    centered = flat - flat.mean(0)
    _, values, rows = np.linalg.svd(centered, full_matrices=False)
    rows = rows[:number] * np.sign(np.take_along_axis(rows, np.abs(rows).argmax(1)[:, None], 1))[:number]
    shares = (values**2 / max((values**2).sum(), 1e-12))[:number]
    return (centered @ rows.T).reshape(*features.shape[:-1], number), shares


def scale_robustly(scores: np.ndarray, cut: float = 2.0) -> np.ndarray:
    """Scale each component (B, h, w, D) so that `cut` percent of the patches are at 0, and as many at 1."""
    low, high = np.percentile(scores, [cut, 100 - cut], axis=(0, 1, 2))
    return ((scores - low) / np.maximum(high - low, 1e-12)).clip(0, 1)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this drawing."""
    add_images(parser)
    add_number(parser, 'images', 6)
    add_size(parser)
    add_stage(parser)


def row_of(image: np.ndarray, scaled: np.ndarray, shares: np.ndarray) -> list[Panel]:
    """Make the panels of an image and its components (h, w, 3) from 0 to 1: a color, and each as a gray."""
    colors = resize((255 * scaled).round().astype(np.uint8), image.shape[:2])
    grays = [Panel(colors[..., i, None], f'component {i + 1}: {share:.0%}') for i, share in enumerate(shares)]
    return [Panel(image, 'image'), Panel(colors, 'color'), *grays]


def draw(args: argparse.Namespace, config: Config) -> tuple[Image.Image, str]:
    """Return the image grid and a summary."""
    extract, compute = patch_features(args, config)
    images = extract.open_all(choose(args, config, extract.read.image_loader, args.num_images))
    features = compute(images)
    scores, shares = principal_components(features)
    parts = zip(extract.as_shown(images), scale_robustly(scores), strict=True)
    caption = (
        f'Joint components of {scores[0, ..., 0].size} patches of each of {len(images)} image(s), each scaled from '
        f'its 2nd to 98th percentile; the three explain {shares.sum():.0%} of the variance.'
    )
    listed = ', '.join(f'{share:.1%}' for share in shares)
    summary = f'{len(images)} image(s), components with {listed} of the variance'
    return draw_grid([row_of(image, levels, shares) for image, levels in parts], caption), summary
