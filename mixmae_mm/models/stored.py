"""How parts of a model make stored weights fit before PyTorch copies them."""

from torch import Tensor


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
