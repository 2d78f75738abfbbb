"""Reading of features that `FeatureExtractor.save` wrote."""

import os
from pathlib import Path

import numpy as np

from mixmae_mm.apis.feature_extractor import FeatureExtractor
from mixmae_mm.utils.optional import need

LIKE = 0.99  # least cosine of an image's features computed twice; other encoders' are far below


def read_saved(file: str | os.PathLike) -> tuple[list[str], np.ndarray]:
    """Read the names of images and their features, (images, C), from an .npz or .parquet file.

    Raises:
        ValueError: there is no such file, or it holds no table of features with names.
        ImportError: a .parquet file without pyarrow.
    """
    path = Path(file)
    if not path.is_file():
        raise ValueError(f'there is no file {path} of saved features: FeatureExtractor.save writes one')
    names, features = _read_table(path) if path.suffix == '.parquet' else _read_arrays(path)
    if features.ndim != 2 or len(names) != len(features):
        raise ValueError(
            f'{path} holds features {features.shape} of {len(names)} images: save pooled ones, one row an image'
        )
    return names, features


def _read_arrays(path: Path) -> tuple[list[str], np.ndarray]:
    """Read an .npz file."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return arrays['names'].tolist(), arrays['features']
    except (KeyError, ValueError, OSError, TypeError) as error:
        raise ValueError(f'{path} holds no "features" and "names", as FeatureExtractor.save writes: {error}') from error


def _read_table(path: Path) -> tuple[list[str], np.ndarray]:
    """Read a .parquet file."""
    parquet, pyarrow = need('pyarrow.parquet', f'{path}'), need('pyarrow', f'{path}')
    if int(pyarrow.__version__.partition('.')[0]) < 15:
        raise ImportError(f'pyarrow {pyarrow.__version__} may run what a table holds: pip install "pyarrow>=15"')
    table = parquet.read_table(path)
    if not {'names', 'features'} <= set(table.column_names):
        raise ValueError(f'{path} has the columns {table.column_names}, not "features" and "names"')
    return list(map(os.fsdecode, table['names'].to_pylist())), np.array(table['features'].to_pylist(), np.float32)


def check_same_encoder(extract: FeatureExtractor, names: list[str], features: np.ndarray, file: str) -> None:
    """Check that saved features are this encoder's, by computing those of their first image again.

    Raises:
        ValueError: they are another's, or the image is not there any more.
    """
    if not Path(names[0]).is_file():
        raise ValueError(f'{file} names {names[0]}, which is not there: run this where the features were computed')
    fresh = extract(names[0])[0]
    if fresh.shape != features[0].shape:
        raise ValueError(f'{file} holds {len(features[0])} features an image and this encoder gives {len(fresh)}')
    cosine = float(fresh @ features[0] / max(np.linalg.norm(fresh) * np.linalg.norm(features[0]), 1e-12))
    if cosine < LIKE:
        raise ValueError(
            f'the features in {file} are not of this encoder: those of {names[0]}, computed again, have a cosine of '
            f'{cosine:.3f} with them. Save them anew, with the same config and checkpoint'
        )
