"""Changes of other modules, made once these are imported, so that nothing is imported for them."""

import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

Change = Callable[[ModuleType], None]


class ChangeOnImport(MetaPathFinder):
    """Change modules right after they are imported.

    Args:
        changes: By the modules' names.
    """

    def __init__(self, changes: dict[str, Change]) -> None:
        self.changes = changes

    def install(self) -> None:
        """Change modules that are imported already, and the rest on import."""
        for name in self.changes.keys() & sys.modules.keys():
            self.changes[name](sys.modules[name])
        sys.meta_path.insert(0, self)

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Find a module as the finders after this one do, and have it changed once it is there.

        Those before have been asked; among them may be another of these, which asks this one.
        """
        if name not in self.changes:
            return None
        later = sys.meta_path[sys.meta_path.index(self) + 1 :]
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in later)), None)
        if spec is not None:
            spec.loader.exec_module = _and_then(spec.loader.exec_module, self.changes[name])
        return spec


def _and_then(execute: Change, change: Change) -> Change:
    """Change a module after its code was executed."""

    def execute_and_change(module: ModuleType) -> None:
        execute(module)
        change(module)

    return execute_and_change
