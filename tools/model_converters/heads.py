"""Names of linear classifiers: officially `head`, or behind the batch norm of linear probing `head.0` and `head.1`."""

import re
from collections.abc import Mapping

from torch import Tensor

NORMALIZATION = re.compile(r'neck\.(\d+\.)?bn\.')
"""What stands before the batch norm of linear probing in mmpretrain; officially it is the first part of the head."""
LINEAR = re.compile(r'head\.(fc|layers\.head)\.(?=weight$|bias$)')
"""What mmpretrain's heads call their one linear layer."""
OURS = {'head.0.': 'neck.1.bn.', 'head.1.': 'head.fc.'}
"""Official names of a linear probe, and ours where average pooling stands first in the neck, as in our configs."""


def official_head(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take the linear classifier out of weights with our names, by its official names."""
    norms = {NORMALIZATION.sub('head.0.', name): x for name, x in weights.items() if NORMALIZATION.match(name)}
    place = 'head.1.' if norms else 'head.'
    return norms | {LINEAR.sub(place, name): x for name, x in weights.items() if LINEAR.match(name)}


def in_head(name: str) -> bool:
    """Return whether a tensor, by our name, is of a linear classifier."""
    return bool(NORMALIZATION.match(name) or LINEAR.match(name))


def name_probe(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return our names to a linear probe that still has its official ones."""
    if 'head.0.running_mean' not in weights:
        return dict(weights)
    return {_our_name(name): x for name, x in weights.items()}


def _our_name(name: str) -> str:
    """Translate one name."""
    start = name[: len('head.0.')]
    return OURS.get(start, start) + name[len(start) :]
