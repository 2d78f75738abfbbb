"""Checkpoints that are written atomically, with the state of hooks, and refused if they belong to another model."""

import os
from collections.abc import Iterator
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook, EarlyStoppingHook, Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner

from mixmae_mm.engine.hooks.nan_guard import NanGuardHook
from mixmae_mm.registry import HOOKS

STATES = {EarlyStoppingHook: ('best_score', 'wait_count'), NanGuardHook: ('events',)}
"""Counters of hooks that mmengine does not store in checkpoints."""


def is_updated(runner: Runner) -> bool:
    """Return whether the last iteration ended with an update, so that no accumulated gradients are pending."""
    wrapper = runner.optim_wrapper
    wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
    return all(getattr(each, 'should_update', lambda: True)() for each in wrappers)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's `CheckpointHook` with atomic writes, which removes old checkpoints after saving, not before.

    A checkpoint includes the counters of `EarlyStoppingHook` and `NanGuardHook`. If gradients are accumulated, it is
    written after the update. A remote `out_dir` (`s3://...`) is written by mmengine itself, not atomically.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.is_due = False
        self.is_validating = False
        self.after_validation: tuple[int, dict] | None = None
        """Step and meta of the checkpoint to write again once the validation is over."""

    def every_n_train_iters(self, runner: Runner, n: int, start: int = 0) -> bool:
        """Return whether a checkpoint is due and would lose no accumulated gradients."""
        self.is_due |= super().every_n_train_iters(runner, n, start)
        if not self.is_due or not is_updated(runner):
            return False
        self.is_due = False
        return True

    def before_val(self, runner: Runner) -> None:
        """Note that a validation begins."""
        self.is_validating = True

    def after_val(self, runner: Runner) -> None:
        """Write the checkpoint again if the validation had the best score, now or after the next update."""
        self.is_validating = False
        if self.after_validation is None:
            return
        if is_updated(runner):
            self._save_checkpoint_with_step(runner, *self.after_validation)
        else:
            self.is_due = True
        self.after_validation = None

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add the counters of hooks, and whether the checkpoint includes the validation after its step."""
        meta = checkpoint['meta']
        meta['hooks'] = [{name: getattr(hook, name) for name in names} for hook, names in counts(runner)]
        if self.after_validation is not None:
            # the step is over, but mmengine's `FlexibleRunner` counts as if it were not
            meta.update(validated=True, epoch=runner.epoch, iter=runner.iter)
            meta['stop_training'] = getattr(runner.train_loop, 'stop_training', False)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """On resuming, restore the counters if the hooks are the same, and stop a run that was about to stop."""
        if getattr(runner, '_resume', False) and checkpoint.get('meta', {}).get('stop_training'):
            runner.train_loop.stop_training = True
        stored, ours = checkpoint.get('meta', {}).get('hooks', []), list(counts(runner))
        if getattr(runner, '_resume', False) and [[*state] for state in stored] == [[*names] for _, names in ours]:
            for (hook, _), state in zip(ours, stored, strict=True):
                vars(hook).update(state)

    def before_train(self, runner: Runner) -> None:
        """Prepare, and ignore requests of a resumed checkpoint to remove files that are not this run's own."""
        steps = runner.message_hub.runtime_info.get('keep_ckpt_ids', [])
        if any(type(step) is not int for step in steps):  # they become parts of file names
            runner.message_hub.update_info('keep_ckpt_ids', [])
        super().before_train(runner)
        self.is_validating, self.after_validation = False, None  # left from an interrupted validation
        if not self._is_own(getattr(self, 'best_ckpt_path', None)):
            self.best_ckpt_path = None
        for name, path in getattr(self, 'best_ckpt_path_dict', {}).items():
            self.best_ckpt_path_dict[name] = path if self._is_own(path) else None

    def _is_own(self, path: str | None) -> bool:
        """Return whether a path is None, or that of a best checkpoint in the folder of this run."""
        folder, name = os.path.split(str(path))
        in_place = os.path.realpath(folder) == os.path.realpath(self.out_dir)
        return path is None or (in_place and name.startswith('best_'))

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        """Save a checkpoint, point to it, and then remove the oldest one if there are too many.

        After a new best score, mmengine saves again during the validation, to store that score. Here this is postponed
        until all hooks have seen the validation and no accumulated gradients would be lost.
        """
        if self.is_validating:
            self.after_validation = step, meta
            return
        keep, surplus = self.max_keep_ckpts, None
        if keep > 0 and step not in list(self.keep_ckpt_ids)[-1:]:
            surplus = self.keep_ckpt_ids[0] if len(self.keep_ckpt_ids) == keep else None
            self.keep_ckpt_ids.append(step)  # a deque of fixed length; mmengine removes nothing for its last step
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        super()._save_checkpoint_with_step(runner, step, meta)
        if surplus is not None and is_main_process():
            old = self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(surplus))
            if self.file_backend.isfile(old):
                self.file_backend.remove(old)


def counts(runner: Runner) -> Iterator[tuple[Hook, tuple[str, ...]]]:
    """Yield the hooks that have counters, with the names of these."""
    for hook in runner.hooks:
        yield from ((hook, names) for kind, names in STATES.items() if isinstance(hook, kind))


@HOOKS.register_module()
class CheckpointGuardHook(Hook):
    """Hook that refuses a checkpoint that fits too little of the model (`--resume`, `load_from`, the one to test).

    mmengine loads what fits by name and shape and only logs the rest.

    Args:
        min_ratio: Minimum share of the model's tensors, 0 to 1, that the checkpoint must hold in the same shape.
    """

    def __init__(self, min_ratio: float = 0.5) -> None:
        if not 0 <= min_ratio <= 1:
            raise ValueError(f'min_ratio must be a fraction of the tensors, 0 to 1, got {min_ratio}')
        self.min_ratio = min_ratio

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compare names and shapes before anything is loaded, and raise a `ValueError` if too little fits.

        Resuming from a checkpoint that holds weights alone, such as `best_*.pth`, raises one as well.
        """
        if getattr(runner, '_resume', False) and 'optimizer' not in checkpoint:
            raise ValueError(
                'this checkpoint has no optimizer, so no run can resume from it (best_*.pth and converted files hold '
                'only weights): --resume with epoch_*.pth, iter_*.pth or latest.pth; to start from its weights, '
                '--cfg-options load_from=FILE without --resume'
            )
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        # from the wrapper, as only it can gather what is sharded among processes
        wanted = {name.removeprefix('module.'): value for name, value in runner.model.state_dict().items()}
        given = checkpoint.get('state_dict', checkpoint)
        given = {name.removeprefix('module.'): getattr(value, 'shape', None) for name, value in given.items()}
        misfits = [name for name, value in wanted.items() if given.get(name) != value.shape]
        if len(wanted) - len(misfits) < self.min_ratio * len(wanted):
            raise ValueError(
                f'this checkpoint belongs to another model: of the {len(wanted)} tensors of {type(model).__name__} '
                f'only {len(wanted) - len(misfits)} are in it with the same name and shape (missing, e.g.: '
                f'{misfits[0]}; the checkpoint has {len(given)} tensors, e.g.: {next(iter(given), "none")}). Name a '
                "checkpoint made with this config; to carry over an encoder only, use the backbone's init_cfg"
            )
