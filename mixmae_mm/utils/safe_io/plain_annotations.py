"""Annotations of mmengine's datasets and proposals of mmdet's, read as plain data: `.pkl` and `.yaml` may run code."""

import functools
import io
from types import ModuleType

import yaml
from mmengine.fileio import get

from mixmae_mm.utils.safe_io.allow_list import read_plain_pickle
from mixmae_mm.utils.safe_io.weights_file import CORRUPT


def read_plain_annotations(module: ModuleType) -> None:
    """Have a module, which calls mmengine's `load`, read pickles by our list of types, and YAML without objects."""
    load = module.load

    @functools.wraps(load)
    def load_plain(file: object, file_format: str | None = None, **settings: object) -> object:
        kind = file_format or str(file).rpartition('.')[2]
        if kind not in ('pkl', 'pickle', 'yml', 'yaml'):
            return load(file, file_format, **settings)
        return _parse(get(file, **settings), kind, str(file))

    module.load = load_plain


def _parse(content: bytes, kind: str, called: str) -> object:
    """Read annotations."""
    try:
        return yaml.safe_load(content) if kind.startswith('y') else read_plain_pickle(io.BytesIO(content))
    except (*CORRUPT, yaml.YAMLError, ImportError) as error:
        raise ValueError(
            f'{called} cannot be read as annotations without running code: {error}. Store them as JSON'
        ) from error
