"""What the converters share of reading: all that is in a checkpoint, and its weights by our names."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from torch import Tensor

from mixmae_mm.checkpoint.key_mapping import ENCODER, Layout, find_layout, to_ours
from mixmae_mm.checkpoint.report import joined
from mixmae_mm.utils.safe_io.weights_file import CONTAINERS, read_file, read_weights
from mixmae_mm.version import __version__

PROGRESS = ('epoch', 'iter')
DISTILLATION = (ENCODER + 'dist_token', 'head_dist.')
"""What goes with a row of the position table that is not read."""


class Contents(NamedTuple):
    """What is in a checkpoint."""

    container: str
    """Where the weights stand, '' where they are bare."""
    weights: dict[str, Tensor]
    """The weights, by the file's names."""
    others: dict[str, object]
    """What stands beside them."""

    @property
    def meta(self) -> dict[str, object]:
        """What is told of the weights; mmengine says it under `meta`, others beside the weights."""
        told = self.others.get('meta')
        progress = {name: self.others[name] for name in PROGRESS if name in self.others}
        return progress | (dict(told) if isinstance(told, Mapping) else {})


class Model(NamedTuple):
    """The weights of one model."""

    layout: Layout
    """How the file names them."""
    weights: dict[str, Tensor]
    """The weights, by our names and in our order."""
    left_out: dict[str, str]
    """The names of other tensors, and why they are not among them."""


def read_contents(checkpoint: str) -> Contents:
    """Read a checkpoint, without running code.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no weights, or cannot be read.
    """
    weights, content = read_weights(checkpoint), read_file(checkpoint)
    container = next((name for name in CONTAINERS if isinstance(content.get(name), Mapping)), '')
    others = {str(name): x for name, x in content.items() if name != container and (container or name not in weights)}
    return Contents(container, weights, others)


def read_model(file: Mapping[str, Tensor], prefix: str | None = None) -> Model:
    """Name weights as ours are; what stands outside the model that the encoder is a part of is left out.

    Raises:
        ValueError: there is no encoder, none behind that prefix, or several.
    """
    layout = find_layout(file, prefix)
    inside = {name: x for name, x in file.items() if name.startswith(layout.root)}
    left_out = dict.fromkeys(sorted(file.keys() - inside.keys()), 'another model')
    ours = to_ours(inside, layout)
    for name in [name for name in ours if name.startswith(DISTILLATION)]:
        del ours[name]
        left_out[name] = 'distillation, with its row of the position table'
    return Model(layout, ours, left_out)


def whose(layout: Layout) -> str:
    """Say whose layout it is; ours has the official names behind `backbone.`."""
    ours = layout.naming == 'official' and not layout.is_bare
    return f'ours, {layout}' if ours else str(layout)


def left_out_lines(left_out: Mapping[str, str]) -> Iterator[str]:
    """Say what was left out, a line for each reason."""
    for why in dict.fromkeys(left_out.values()):
        names = [name for name, reason in left_out.items() if reason == why]
        yield f'{len(names)} left out, {why}: {", ".join(joined(names, most=3))}'


def short_meta(contents: Contents) -> dict[str, object]:
    """Keep what holds for weights in whatever file: how far they were trained, on which classes, and who wrote it."""
    kept = {name: plain(contents.meta[name]) for name in (*PROGRESS, 'dataset_meta') if name in contents.meta}
    return kept | dict(mixmae_mm_version=__version__)


def plain(value: object) -> object:
    """Return what is told as plain data, which can be read everywhere: anything else becomes None."""
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {plain(name): plain(x) for name, x in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(x) for x in value] if isinstance(value, list) else tuple(plain(x) for x in value)
    return value if isinstance(value, bool | int | float | str) else None
