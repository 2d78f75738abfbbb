"""Optional libraries, imported where they are used; if one is missing, the error says how to install it."""

from importlib import import_module
from types import ModuleType


def need(module: str, purpose: str) -> ModuleType:
    """Import an optional library; `purpose` names what needs it."""
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition('.')[0]
        raise ImportError(f'{purpose} needs {package}: pip install {package}') from error
