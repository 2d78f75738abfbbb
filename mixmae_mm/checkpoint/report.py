"""What became of the weights in a file: what was loaded, resized, renamed, left out, and what starts anew."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import StringIO

from rich.console import Console
from rich.table import Table

from mixmae_mm.checkpoint.key_mapping import DECODER, ENCODER
from mixmae_mm.structures import Fitted

WIDTH = 120


@dataclass
class LoadReport:
    """The outcome of loading a file into a model; names are the model's but for those skipped, which are the file's."""

    module: str
    """What was filled."""
    layout: str
    """What the file's names and order were taken for."""
    share: float
    """Parameters found in the file over parameters that should be."""
    checkpoint: str = ''
    """The file."""
    loaded: dict[str, str] = field(default_factory=dict)
    """What came from the file, and its name there."""
    resized: dict[str, str] = field(default_factory=dict)
    """Tables that were resized: from how much to how much."""
    assumed: dict[str, str] = field(default_factory=dict)
    """Tables that were trained and of which the file does not say the sides: what they were taken for."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Tensors of the file that were left out, and why."""
    missing: list[str] = field(default_factory=list)
    """Tensors that start anew although the file should have them."""
    fresh: list[str] = field(default_factory=list)
    """Tensors that no file need have."""

    @property
    def renamed(self) -> dict[str, str]:
        """Our names and the file's, where more differs than what stands before them."""
        bare = ((name, name.removeprefix(ENCODER).removeprefix(DECODER)) for name in self.loaded)
        return {name: self.loaded[name] for name, rest in bare if not self.loaded[name].endswith(rest)}

    def note_tables(self, tables: Mapping[str, Fitted]) -> None:
        """Add what became of the tables of positions: sides of grids and windows."""
        for name, table in tables.items():
            if table.stored != table.here:
                self.resized[name] = f'{_sides(table.stored)} -> {_sides(table.here)}, bicubic'
            if not table.known:
                self.assumed[name] = _sides(table.stored)

    @property
    def doubtful(self) -> bool:
        """Return whether something is missing, or a table was assumed to be of a grid or window that is not square."""
        return bool(self.missing) or any(len(set(sides.split(' x '))) > 1 for sides in self.assumed.values())

    def table(self) -> Table:
        """Lay the report out; numbered names are joined, so that stages and blocks take one line together."""
        table = Table(title=f'{self.checkpoint} -> {self.module}: {self.share:.1%} of the parameters', min_width=60)
        for heading in ('', 'tensors', 'which'):
            table.add_column(heading, justify='right' if heading == 'tensors' else 'left', overflow='fold')
        table.add_row('read as', '', self.layout)
        table.add_row('loaded', str(len(self.loaded)), '')
        rows = {
            'renamed': [f'{theirs} -> {ours}' for ours, theirs in self.renamed.items()],
            'resized': [f'{name}: {change}' for name, change in self.resized.items()],
            'sides not in the file, assumed': [f'{name}: {sides}' for name, sides in self.assumed.items()],
            'skipped': [f'{name}: {why}' for name, why in self.skipped.items()],
            'MISSING, starts anew': self.missing,
            'new here': self.fresh,
        }
        for heading, names in rows.items():
            if names:
                table.add_row(heading, str(len(names)), '\n'.join(joined(names)))
        return table

    def __str__(self) -> str:
        """Draw the table for a log."""
        console = Console(file=StringIO(), width=WIDTH, color_system=None)
        console.print(self.table())
        return '\n' + console.file.getvalue().rstrip()


def _sides(size: tuple[int, int]) -> str:
    """Write height and width."""
    return f'{size[0]} x {size[1]}'


def joined(names: Iterable[str], most: int = 12) -> list[str]:
    """Join names that differ in numbers of stages and blocks only, `layers.*.blocks.*.attn (24)`; at most so many."""
    counts = Counter(re.sub(r'(?<=\.)\d+(?=\.)', '*', name) for name in names)
    lines = [f'{name} ({count})' if count > 1 else name for name, count in counts.items()]
    return lines if len(lines) <= most else [*lines[:most], f'... and {len(lines) - most} more kinds']
