"""What the converters share: reading of checkpoints, weights under our names, and writing of files."""

import argparse
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from mixmae_mm.checkpoint.key_mapping import ENCODER, Layout, find_layout, to_ours
from mixmae_mm.checkpoint.report import joined
from mixmae_mm.utils.atomic_write import atomic_write
from mixmae_mm.utils.safe_io.weights_file import CONTAINERS, read_file, read_weights

PROGRESS = ('epoch', 'iter')
AVERAGES = ('state_dict_ema', 'model_ema')
"""Keys of averaged weights (EMA) in files of timm and DeiT; mmengine's `state_dict` is the average where it has one."""
DISTILLATION = (ENCODER + 'dist_token', 'head_dist.')
"""Distillation parts, which go with a row of the position embedding that is not read either."""


class Contents(NamedTuple):
    """Contents of a checkpoint: the key of its weights ('' for bare ones), the weights, and all else beside them."""

    container: str
    weights: dict[str, Tensor]
    others: dict[str, object]

    @property
    def meta(self) -> dict[str, object]:
        """Metadata of the weights; mmengine stores it under `meta`, other libraries beside the weights."""
        own = self.others.get('meta')
        progress = {name: self.others[name] for name in PROGRESS if name in self.others}
        return progress | (dict(own) if isinstance(own, Mapping) else {})


class Model(NamedTuple):
    """Weights of one model, renamed; the layout of the file; and what was left out, with the reason."""

    layout: Layout | str
    weights: dict[str, Tensor]
    left_out: dict[str, str]


def read_contents(checkpoint: str, ema: bool = False) -> Contents:
    """Read a checkpoint without running code; raise ValueError if it has no weights, or with `ema` no averaged ones."""
    content = read_file(checkpoint)
    if not isinstance(content, Mapping):
        read_weights(checkpoint)  # raises the error
    container = next((name for name in CONTAINERS if isinstance(content.get(name), Mapping)), '')
    if ema and 'ema_state_dict' not in content:
        container = next((name for name in AVERAGES if isinstance(content.get(name), Mapping)), None)
        if container is None:
            raise ValueError(
                f'{checkpoint} holds no averaged weights (EMA): it has {", ".join(joined(list(content), most=5))}; '
                "average while training with custom_hooks=[dict(type='EMAHook')], or leave --ema out"
            )
        weights = {name: x for name, x in content[container].items() if isinstance(x, Tensor)}
    else:
        weights = read_weights(checkpoint)
    others = {str(name): x for name, x in content.items() if name != container and (container or name not in weights)}
    return Contents(container, weights, others)


def read_model(file: Mapping[str, Tensor], prefix: str | None = None) -> Model:
    """Rename and reorder weights like ours; what is outside the model around the encoder is left out."""
    layout = find_layout(file, prefix)
    ours = to_ours(file, layout)
    left_out = {name: 'another model' for name in sorted(file) if not name.startswith(layout.root)}
    distilled = [name for name in ours if name.startswith(DISTILLATION)]
    left_out |= dict.fromkeys(distilled, 'distillation, with its row of the position embedding')
    return Model(layout, {name: x for name, x in ours.items() if name not in distilled}, left_out)


def whose(layout: Layout | str) -> str:
    """Return the name of a layout; ours has the official names behind `backbone.`."""
    if isinstance(layout, str):
        return layout
    ours = layout.naming == 'official' and not layout.is_bare
    return f'ours, {layout}' if ours else str(layout)


def left_out_lines(left_out: Mapping[str, str]) -> Iterator[str]:
    """Yield what was left out, a line for each reason."""
    for why in dict.fromkeys(left_out.values()):
        names = [name for name, reason in left_out.items() if reason == why]
        yield f'{len(names)} left out, {why}: {", ".join(joined(names, most=3))}'


def plain(value: object) -> object:
    """Return a value as plain data, which can be read everywhere; anything else becomes None."""
    value = value.tolist() if isinstance(value, np.generic | np.ndarray) else value
    if isinstance(value, Mapping):
        return {plain(name): plain(x) for name, x in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(plain(x) for x in value)
    return value if isinstance(value, bool | int | float | str) else None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for overwriting and for whole tracebacks."""
    parser.add_argument('--force', action='store_true', help='overwrite OUT')
    parser.add_argument('--debug', action='store_true', help='show errors with their whole traceback')


def check_free(out: Path, force: bool) -> None:
    """Raise ValueError if a file would be lost."""
    if out.exists() and not force:
        raise ValueError(f'{out} already exists: give another name, or --force to overwrite it')


def to_bytes(weights: Mapping[str, Tensor], container: str = '', **others: object) -> bytes:
    """Return the bytes of a .pth file, with weights under `container` and `others` beside, or of a bare .safetensors.

    Weights are copied, because a row of a large tensor would otherwise store it all. Equal contents give equal bytes.
    """
    weights = {name: x.detach().clone(memory_format=torch.contiguous_format) for name, x in weights.items()}
    if not container:
        return safetensors_bytes(weights, metadata=dict(format='pt'))
    buffer = io.BytesIO()
    torch.save({container: weights, **others}, buffer)
    return buffer.getvalue()


def write(content: bytes, out: Path) -> None:
    """Write a file atomically, and make its folder: an incomplete file never has this name."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(out) as file:
        file.write(content)
