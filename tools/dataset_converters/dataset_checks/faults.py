"""What can be wrong with any folder of pictures, and the report that gathers what is."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from mixmae_mm.datasets.walking import EXTENSIONS
from mixmae_mm.names import shown

EXAMPLES = 3


class Fault(NamedTuple):
    """One thing that can be wrong: 'error' or 'warning' (works, but is suspicious), what it is, and what to do."""

    severity: str
    what: str
    advice: str


Finding = tuple[Fault, str]
"""A fault and where it is: a file or an entry; '' where `what` has said all."""

NO_FOLDER = Fault('error', 'no such folder', 'unpack the data there, or correct the path')
NO_PICTURES = Fault('error', 'no pictures', f'put files there that end in {" ".join(EXTENSIONS)}')
MISSING = Fault(
    'error',
    'files that are missing',
    'unpack them, or correct where they are looked for: --images; data_root, data_prefix or ann_file in a config',
)
EMPTY = Fault('error', 'empty files (0 bytes)', 'copy or unpack them again')
CUT_OFF = Fault('error', 'pictures that are cut off', 'copy or unpack them again')
BROKEN = Fault('error', 'files that cannot be read as pictures', 'copy them again, or delete them')
OTHERS = Fault('warning', 'files that are no pictures by their ending, and are left out', 'nothing, or delete them')


@dataclass
class Problem:
    """A fault with the number of its cases and the first of them; the others are not kept."""

    severity: str
    split: str
    what: str
    advice: str
    count: int = 0
    cases: list[str] = field(default_factory=list)

    def add(self, case: str) -> None:
        """Count one more case; '' stands for none."""
        if case:
            self.count += 1
            self.cases += [case] if len(self.cases) < EXAMPLES else []

    def line(self) -> str:
        """Say all of it in one line."""
        more = ', ...' if self.count > len(self.cases) else ''
        cases = f': {self.count:,} ({", ".join(self.cases)}{more})' if self.count else ''
        return f'{self.severity}: {self.split}: {self.what}{cases}. What to do: {self.advice}.'


@dataclass
class Report:
    """What was counted in each split, and what is wrong there; paths are told from `root` on."""

    root: str = ''
    counts: dict[str, dict[str, dict[str, int | str]]] = field(default_factory=dict)
    found: dict[tuple[str, Fault], Problem] = field(default_factory=dict)

    def add(self, split: str, findings: Iterable[Finding]) -> None:
        """Take up what was found in a split."""
        root = shown(os.path.join(self.root, '')) if self.root else ''
        for fault, case in findings:
            problem = self.found.setdefault((split, fault), Problem(fault.severity, split, fault.what, fault.advice))
            problem.add(shown(case).removeprefix(root))

    def count(self, kind: str, split: str, **counts: int | str) -> None:
        """Note the numbers of a line of the table of that kind."""
        self.counts.setdefault(kind, {})[split] = counts

    def problems(self) -> list[Problem]:
        """List what is wrong, errors first."""
        return sorted(self.found.values(), key=lambda problem: problem.severity)

    def status(self) -> int:
        """Give the exit status."""
        return int(any(problem.severity == 'error' for problem in self.found.values()))
