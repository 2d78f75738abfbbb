"""Problems with the data or the settings of a run: collected, counted, then printed or raised."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from mixmae_mm.utils.names import printable

EXAMPLES = 3


class Fault(NamedTuple):
    """One thing that can be wrong: 'error' or 'warning' (works, but is suspicious), what it is, and what to do."""

    severity: str
    what: str
    advice: str


Finding = tuple[Fault, str]
"""A fault and its place, a file or an entry; '' if `what` names it."""


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

    def text(self) -> str:
        """Return all but the severity, in one line."""
        more = ', ...' if self.count > len(self.cases) else ''
        cases = f': {self.count:,} ({", ".join(self.cases)}{more})' if self.count else ''
        return f'{self.split}: {self.what}{cases}. What to do: {self.advice}.'

    def line(self) -> str:
        """Return all in one line."""
        return f'{self.severity}: {self.text()}'


@dataclass
class Report:
    """Counts and problems of each split; paths are given below `root`."""

    root: str = ''
    counts: dict[str, dict[str, dict[str, int | str]]] = field(default_factory=dict)
    found: dict[tuple[str, Fault], Problem] = field(default_factory=dict)

    def add(self, split: str, findings: Iterable[Finding]) -> None:
        """Take up what was found in a split."""
        root = printable(os.path.join(self.root, '')) if self.root else ''
        for fault, case in findings:
            problem = self.found.setdefault((split, fault), Problem(fault.severity, split, fault.what, fault.advice))
            problem.add(printable(case).removeprefix(root))

    def count(self, kind: str, split: str, **counts: int | str) -> None:
        """Record a row of the table of that kind."""
        self.counts.setdefault(kind, {})[split] = counts

    def problems(self) -> list[Problem]:
        """List what is wrong, errors first."""
        return sorted(self.found.values(), key=lambda problem: problem.severity)

    def status(self) -> int:
        """Return the exit status."""
        return int(any(problem.severity == 'error' for problem in self.found.values()))

    def refuse(self) -> list[str]:
        """Return the warnings, unless there are errors.

        Raises:
            ValueError: there are errors; the message has a line for each.
        """
        problems = self.problems()
        if self.status():
            raise ValueError('\nerror: '.join(problem.text() for problem in problems if problem.severity == 'error'))
        return [problem.text() for problem in problems]
