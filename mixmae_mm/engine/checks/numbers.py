"""The numbers of classes in a config: heads, preprocessor, metrics."""

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS

from mixmae_mm.engine.checks.sources import known_class

ELSEWHERE = ('backbone', 'neck', 'rpn', 'semantic', 'teacher')
"""Parts of a model whose classes are not those of the data set."""


def model_numbers(config: Config) -> dict[str, int]:
    """Return `num_classes` of all parts of the model that have it, by its setting."""
    found = _numbers('model', config.get('model') or {}, config.get('default_scope'))
    return {name: number for name, number in found if isinstance(number, int) and number > 0}


def metric_numbers(config: Config, split: str) -> dict[str, int]:
    """Return `num_classes` of all metrics of a split that have it, by its setting."""
    given = [metric for metric in metrics(config, split) if metric.get('num_classes')]
    return {f'{split}_evaluator.{metric["type"]}.num_classes': metric['num_classes'] for metric in given}


def metrics(config: Config, split: str) -> list[Mapping]:
    """Return the settings of the metrics of a split."""
    given = config.get(f'{split}_evaluator') or []
    if isinstance(given, Mapping):
        given = given.get('metrics', given)
    return [one for one in ([given] if isinstance(given, Mapping) else given) if isinstance(one, Mapping)]


def _numbers(name: str, part: Any, scope: str | None) -> Iterator[tuple[str, int]]:
    """Walk through the settings of a model."""
    if isinstance(part, Mapping):
        if 'num_classes' in part or re.search(r'head(\.\d+)?$', name):
            yield f'{name}.num_classes', part.get('num_classes', _default(part, scope))
        inner = part.items()
    elif isinstance(part, list | tuple):
        inner = enumerate(part)
    else:
        return
    for key, value in inner:
        if not any(word in str(key) for word in ELSEWHERE):
            yield from _numbers(f'{name}.{key}', value, scope)


def _default(part: Mapping, scope: str | None) -> int | None:
    """Return the number of classes that a head has by itself, such as the 80 of mmdet's."""
    cls = known_class(MODELS, part['type'], scope) if 'type' in part else None
    for parent in cls.__mro__ if isinstance(cls, type) else ():
        default = inspect.signature(parent.__init__).parameters.get('num_classes')
        if default is not None:
            return default.default
    return None
