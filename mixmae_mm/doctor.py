"""Report on this environment and what to fix: `python -m mixmae_mm.doctor`.

It prints the versions of the stack, which kind of mmcv is there and each known issue found, with the command that fixes
it; it exits with 1 if pre-training could not run. Every check stands alone, so that whatever is missing or broken is
reported and never ends the report.
"""

import sys
from collections.abc import Callable, Iterator

from mixmae_mm.utils import compat
from mixmae_mm.utils.known_issues import CHECKS, STACK, Finding, devices, installed, mmcv_kind


def findings(checks: tuple[Callable[[], Iterator[Finding]], ...] = CHECKS) -> list[Finding]:
    """Run all checks; one that fails is itself reported."""
    found = []
    for check in checks:
        try:
            found += check()
        except Exception as error:
            found.append(Finding(f'{check.__name__} could not be checked ({type(error).__name__}: {error})', '-'))
    return found


def versions() -> list[tuple[str, str]]:
    """List what is installed, as pairs of name and version with its origin where there are two."""
    rows = [('Python', sys.version.split()[0])]
    for name, distributions in STACK.items():
        found = [f'{version}  ({distribution})' if len(distributions) > 1 else version
                 for distribution, version in installed(name).items()]
        rows.append((name, ', '.join(found) or 'missing'))
    return rows + [('mmcv is', answer_of(mmcv_kind)), ('devices', answer_of(devices))]


def answer_of(ask: Callable[[], str]) -> str:
    """Return what a function returns, or that it failed."""
    try:
        return ask()
    except Exception as error:
        return f'could not be determined ({type(error).__name__}: {error})'


def show(rows: list[tuple[str, str]], found: list[Finding]) -> None:
    """Print the report: a table where rich is there, plain lines otherwise; commands unbroken, to be copied."""
    try:
        from rich.console import Console
        from rich.table import Table
        table = Table('package', 'version')
        for row in rows:
            table.add_row(*row)
        Console().print(table)
    except Exception:
        print('\n'.join(f'{name:12} {version}' for name, version in rows))
    for finding in found:
        print(f'\n{"STOPS PRE-TRAINING" if finding.stops else "note"}: {finding.what}:\n    {finding.fix}')


def main() -> int:
    """Print the report; return the exit status, 0 if pre-training can run."""
    compat.apply()
    found = findings()
    show(versions(), found)
    stopped = any(finding.stops for finding in found)
    print(f'\npre-training {"cannot run before the above is fixed" if stopped else "can run here"}')
    return int(stopped)


if __name__ == '__main__':
    sys.exit(main())
