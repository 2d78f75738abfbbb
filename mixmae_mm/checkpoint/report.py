"""Reports of loading: which weights were loaded, resized, renamed, skipped or not found."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mixmae_mm.checkpoint.key_mapping import DECODER, ENCODER
from mixmae_mm.structures import Fitted


@dataclass
class LoadReport:
    """The outcome of loading a file into a model; keys are the model's names, in `skipped` the file's.

    `layout` is the layout recognized in the file, `share` the share of the needed parameters found in it. `loaded` maps
    to the names in the file, `resized` to the sizes of position embeddings, `assumed` to sizes that the file does not
    state, `skipped` to the reason. The file lacks `missing`, which it should hold, and `fresh`, which it need not hold.
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
        """Names in the file, by our names, that differ in more than the prefix."""
        bare = ((name, name.removeprefix(ENCODER).removeprefix(DECODER)) for name in self.loaded)
        return {name: self.loaded[name] for name, rest in bare if not self.loaded[name].endswith(rest)}

    def note_positions(self, fitted: Mapping[str, Fitted]) -> None:
        """Record the position embeddings that were resized, and those whose grid was assumed."""
        for name, one in fitted.items():
            stored, here = (f'{height} x {width}' for height, width in (one.stored, one.here))
            if stored != here:
                self.resized[name] = f'{stored} -> {here}, bicubic'
            if not one.known:
                self.assumed[name] = stored

    @property
    def doubtful(self) -> bool:
        """Whether something is missing, or the grid of a position embedding was assumed and is not square."""
        return bool(self.missing) or any(len(set(sides.split(' x '))) > 1 for sides in self.assumed.values())

    def __str__(self) -> str:
        """List the outcome, with one line for names that differ only in the indices of stages and blocks."""
        parts = {
            'renamed': [f'{theirs} -> {ours}' for ours, theirs in self.renamed.items()],
            'resized': [f'{name}: {change}' for name, change in self.resized.items()],
            'sides not in the file, assumed': [f'{name}: {sides}' for name, sides in self.assumed.items()],
            'skipped': [f'{name}: {why}' for name, why in self.skipped.items()],
            'MISSING, not loaded': self.missing,
            'new here': self.fresh,
        }
        lines = [f'{self.checkpoint} -> {self.module}: {self.share:.1%} of the parameters, {len(self.loaded)} tensors']
        lines += [f'read as {self.layout}']
        for heading, names in parts.items():
            lines += [f'{heading} ({len(names)}):', *(f'    {line}' for line in joined(names))] if names else []
        return '\n'.join(lines)


def joined(names: Iterable[str], most: int = 12) -> list[str]:
    """Join names that differ only in indices, as `layers.*.blocks.*.attn (24)`; keep `most`, then count the rest."""
    counts = Counter(re.sub(r'(?<=\.)\d+(?=\.)', '*', name) for name in names)
    lines = [f'{name} ({count})' if count > 1 else name for name, count in counts.items()]
    return lines if len(lines) <= most else [*lines[:most], f'... and {len(lines) - most} more kinds']
