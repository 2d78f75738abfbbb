"""Problems with the data or the settings of a run: collected, counted, then printed or raised."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from mixmae_mm.utils.names import printable

EXAMPLES = 3


class Finding(NamedTuple):
    """A problem: an 'error', or a 'warning' about what works but looks suspicious; `case` names the file or entry."""

    severity: str
    what: str
    advice: str
    case: str = ''

    def at(self, case: str) -> 'Finding':
        """Return the same finding for another case."""
        return self._replace(case=case)


@dataclass
class Problem:
    """Findings that differ only in their cases: the number of cases, and the first few."""

    severity: str
    split: str
    what: str
    advice: str
    count: int = 0
    cases: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Describe the problem in one line, without its severity."""
        more = ', ...' if self.count > len(self.cases) else ''
        cases = f': {self.count:,} ({", ".join(self.cases)}{more})' if self.count else ''
        return f'{self.split}: {self.what}{cases}. What to do: {self.advice}.'


class Report:
    """Counts and problems of each split; paths are written relative to `root`."""

    def __init__(self, root: str = '') -> None:
        self.root = printable(os.path.join(root, '')) if root else ''
        self.counts: dict[str, dict[str, dict[str, int | str]]] = {}  # by kind, split and column
        self.found: dict[tuple, Problem] = {}

    def add(self, split: str, findings: Iterable[Finding]) -> None:
        """Add the findings of a split."""
        for severity, what, advice, case in findings:
            key = severity, split, what, advice
            problem = self.found.setdefault(key, Problem(*key))
            if case:
                problem.count += 1
                problem.cases += [printable(case).removeprefix(self.root)] * (len(problem.cases) < EXAMPLES)

    def problems(self) -> list[Problem]:
        """List the problems, errors first."""
        return sorted(self.found.values(), key=lambda problem: problem.severity)

    def refuse(self) -> list[str]:
        """Return the warnings; if there are errors, raise ValueError with a line for each."""
        if errors := [problem.text() for problem in self.problems() if problem.severity == 'error']:
            raise ValueError('\nerror: '.join(errors))
        return [problem.text() for problem in self.problems()]
