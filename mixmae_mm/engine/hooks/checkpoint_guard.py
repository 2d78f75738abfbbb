"""A checkpoint of another model is refused, where mmengine would train from random weights."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mixmae_mm.registry import HOOKS
from mixmae_mm.utils.validation import check_share


@HOOKS.register_module()
class CheckpointGuardHook(Hook):
    """Refuse a checkpoint that fits too little of the model (`--resume`, `load_from`, the checkpoint to test).

    mmengine loads what fits by name and shape and only logs the rest, so that a checkpoint of another model trains
    from scratch unnoticed. A new classification head is fine; most of the model missing is not.

    Args:
        min_ratio: share of the model's tensors, 0 to 1, that the checkpoint must hold in the same shape.

    Raises:
        ValueError: `min_ratio` is not between 0 and 1.
    """

    def __init__(self, min_ratio: float = 0.5) -> None:
        check_share("the model's tensors", min_ratio=min_ratio)
        self.min_ratio = min_ratio

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compare names and shapes before anything is loaded.

        Raises:
            ValueError: less of the model than `min_ratio` is in the checkpoint.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        # of the wrapper, which alone can gather what is sharded among processes
        wanted = {name.removeprefix('module.'): value for name, value in runner.model.state_dict().items()}
        given = checkpoint.get('state_dict', checkpoint)
        given = {name.removeprefix('module.'): getattr(value, 'shape', None) for name, value in given.items()}
        misfits = [name for name, value in wanted.items() if given.get(name) != value.shape]
        if len(wanted) - len(misfits) < self.min_ratio * len(wanted):
            raise ValueError(
                f'this checkpoint is of another model: of the {len(wanted)} tensors of {type(model).__name__} only '
                f'{len(wanted) - len(misfits)} are in it with the same name and shape (missing, for one: {misfits[0]}; '
                f'the checkpoint has {len(given)} tensors, for one: {next(iter(given), "none")}). Name a checkpoint '
                "made with this config; to carry over an encoder only, use the backbone's init_cfg"
            )
