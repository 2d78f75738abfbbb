"""Reports of loading: the weights that were loaded, resized, renamed, left out or not found."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mixmae_mm.checkpoint.key_mapping import DECODER, ENCODER
from mixmae_mm.structures import Fitted


@dataclass
class LoadReport:
    """The outcome of loading a file into a model, by the model's names, those skipped by the file's.

    `layout` is that which the file was recognized as; `share` are the parameters found in it over those that should be.
    `loaded` gives the names in the file; `resized` the sizes of position embeddings, `assumed` those that the file does
    not give; `skipped` why a tensor was left out; `missing` is what the file should have, `fresh` what it need not.
    """

    module: str
    layout: str
    share: float
    checkpoint: str = ''
    loaded: dict[str, str] = field(default_factory=dict)
    resized: dict[str, str] = field(default_factory=dict)
    assumed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)

    @property
    def renamed(self) -> dict[str, str]:
        """Our names and the file's, where more than the prefix differs."""
        bare = ((name, name.removeprefix(ENCODER).removeprefix(DECODER)) for name in self.loaded)
        return {name: self.loaded[name] for name, rest in bare if not self.loaded[name].endswith(rest)}

    def note_positions(self, fitted: Mapping[str, Fitted]) -> None:
        """Record the position embeddings that were resized, and those of an assumed grid."""
        for name, one in fitted.items():
            stored, here = (f'{height} x {width}' for height, width in (one.stored, one.here))
            if stored != here:
                self.resized[name] = f'{stored} -> {here}, bicubic'
            if not one.known:
                self.assumed[name] = stored

    @property
    def doubtful(self) -> bool:
        """Return whether something is missing, or the grid of a position embedding was assumed and is not square."""
        return bool(self.missing) or any(len(set(sides.split(' x '))) > 1 for sides in self.assumed.values())

    def __str__(self) -> str:
        """List it, a line for all names that differ in numbers of stages and blocks only."""
        parts = {
            'renamed': [f'{theirs} -> {ours}' for ours, theirs in self.renamed.items()],
            'resized': [f'{name}: {change}' for name, change in self.resized.items()],
            'sides not in the file, assumed': [f'{name}: {sides}' for name, sides in self.assumed.items()],
            'skipped': [f'{name}: {why}' for name, why in self.skipped.items()],
            'MISSING, starts anew': self.missing,
            'new here': self.fresh,
        }
        lines = [f'{self.checkpoint} -> {self.module}: {self.share:.1%} of the parameters, {len(self.loaded)} tensors']
        lines += [f'read as {self.layout}']
        for heading, names in parts.items():
            lines += [f'{heading} ({len(names)}):', *(f'    {line}' for line in joined(names))] if names else []
        return '\n'.join(lines)


def joined(names: Iterable[str], most: int = 12) -> list[str]:
    """Join names that differ in numbers of stages and blocks only, `layers.*.blocks.*.attn (24)`; at most so many."""
    counts = Counter(re.sub(r'(?<=\.)\d+(?=\.)', '*', name) for name in names)
    lines = [f'{name} ({count})' if count > 1 else name for name, count in counts.items()]
    return lines if len(lines) <= most else [*lines[:most], f'... and {len(lines) - most} more kinds']
