"""What models do to be stored: they remember what they were built with, and make stored weights fit before copying."""

import inspect
from typing import Any

from torch import Tensor


class KeepsSettings:
    """A module that remembers its constructor's arguments, so that a file can tell them; goes first among the bases."""

    def __new__(cls, *args: Any, **kwargs: Any) -> 'KeepsSettings':
        """Note the arguments; whether they are right, the constructor will say."""
        module = super().__new__(cls)
        module.__dict__['_built_with'] = args, kwargs
        return module

    @property
    def settings(self) -> dict[str, Any]:
        """Give the arguments by name, without those left at their defaults."""
        args, kwargs = self.__dict__['_built_with']
        return inspect.signature(type(self)).bind_partial(*args).arguments | kwargs


class FitsStored:
    """A module that adapts what is stored for it, tables of positions above all; goes before `nn.Module` as a base.

    `mixmae_mm.checkpoints.fit` calls `fit_stored` ahead of any copying, to see and report what becomes of a file.
    """

    def fit_stored(self, state_dict: dict[str, Tensor], prefix: str) -> None:
        """Adapt the stored tensors whose names begin with `prefix`, in place; doing so twice changes nothing more.

        Raises:
            ValueError: they cannot be adapted.
        """
        raise NotImplementedError

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        """Adapt, then have PyTorch copy."""
        self.fit_stored(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)
