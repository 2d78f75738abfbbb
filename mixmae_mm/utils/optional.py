"""Libraries that single features need: imported where they are used, and named with the command that installs them."""

from importlib import import_module
from types import ModuleType


def need(module: str, purpose: str) -> ModuleType:
    """Import a library that is not always installed; `purpose` says what needs it."""
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition('.')[0]
        raise ImportError(f'{purpose} needs {package}: pip install {package}') from error
