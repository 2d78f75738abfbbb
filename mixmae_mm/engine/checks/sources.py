"""The datasets of a config's loaders, opened without reading their samples."""

import sys
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS, Registry

from mixmae_mm.datasets.image_reader import unwrapped


def find_class(registry: Registry, name: str | type, scope: str | None) -> type | None:
    """Find a class by its name, in the scope if the name has none; None if it is unknown."""
    if not isinstance(name, str):
        return name
    with redirect_stdout(sys.stderr):  # downstream libraries print when they are imported
        return registry.get(name if '.' in name or not scope else f'{scope}.{name}')


def known_class(registry: Registry, name: str | type, scope: str | None) -> type | None:
    """Find a class as `find_class` does; None too where its library cannot be imported, which the run reports."""
    with suppress(ImportError):
        return find_class(registry, name, scope)
    return None


def settings_of(config: Config, split: str) -> Iterator[ConfigDict]:
    """Return the settings of the datasets that the loader of a split reads."""
    dataset = (config.get(f'{split}_dataloader') or {}).get('dataset')
    yield from unwrapped(dataset) if isinstance(dataset, dict) else ()


def open_dataset(settings: ConfigDict, scope: str | None, **others: Any) -> BaseDataset | None:
    """Build a dataset without its samples and transforms; None where that cannot be.

    What keeps it from being built is said when it is built for the run.
    """
    cls = known_class(DATASETS, settings.get('type', ''), scope)
    if not isinstance(cls, type) or not issubclass(cls, BaseDataset):
        return None
    settings = {key: value for key, value in settings.items() if key not in ('type', '_scope_')}
    try:
        return cls(**(settings | dict(pipeline=[], lazy_init=True) | others))
    except Exception:  # any library's dataset
        return None


def is_a(dataset: BaseDataset, name: str) -> bool:
    """Return whether a dataset is of a class, or of one that derives from it; its library is not imported here."""
    return any(parent.__name__ == name for parent in type(dataset).__mro__)
