"""Atomic checkpoints: a run may be killed, or a disk fill up, at any moment."""

import os
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mixmae_mm.registry import HOOKS
from mixmae_mm.utils.atomic_write import atomic_write


@register_backend('mixmae_mm.atomic')
class AtomicBackend(LocalBackend):
    """mmengine's files on this machine, each written by `atomic_write`."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes, making the folders above.

        Raises:
            OSError: as of `atomic_write`.
        """
        Path(filepath).parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(filepath) as file:
            file.write(obj)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's hook with atomic writes, which removes old checkpoints after saving, not before.

    Args:
        out_dir: Where checkpoints go, in a folder of the run's name; on another machine (`s3://...`) mmengine's own way
            of writing stays. None for the work_dir.
        backend_args: What mmengine.fileio needs to reach it.
        kwargs: More of `CheckpointHook`.

    Raises:
        ValueError: an invalid `out_dir` or `backend_args`.
    """

    def __init__(self, *args: Any, out_dir: str | None = None, backend_args: dict | None = None, **kwargs: Any) -> None:
        if not (out_dir is None or isinstance(out_dir, str | os.PathLike)):
            raise ValueError(f'out_dir must be a path, or None for the work_dir, got {out_dir!r}')
        if not (backend_args is None or isinstance(backend_args, dict)):
            raise ValueError(f"backend_args are such as dict(backend='local'), or None, got {backend_args!r}")
        out_dir = None if out_dir is None else os.fspath(out_dir)
        if backend_args is None and '://' not in str(out_dir or ''):
            backend_args = dict(backend='mixmae_mm.atomic')
        super().__init__(*args, out_dir=out_dir, backend_args=backend_args, **kwargs)

    def before_train(self, runner: Runner) -> None:
        """Prepare, and drop checkpoints of other runs from the list to remove.

        The checkpoint that is resumed names them: the best, which is removed once there is a better, and the steps of
        those to keep, which become parts of file names.
        """
        steps = runner.message_hub.runtime_info.get('keep_ckpt_ids', [])
        if any(type(step) is not int for step in steps):
            runner.message_hub.update_info('keep_ckpt_ids', [])
        super().before_train(runner)
        if not self._is_own(getattr(self, 'best_ckpt_path', None)):
            self.best_ckpt_path = None
        paths = getattr(self, 'best_ckpt_path_dict', {})
        paths.update({name: None for name, path in paths.items() if not self._is_own(path)})

    def _is_own(self, path: str | None) -> bool:
        """Return whether a path is that of a best checkpoint in the folder of this run, or there is none."""
        folder, name = os.path.split(str(path))
        in_place = os.path.realpath(folder) == os.path.realpath(self.out_dir)
        return path is None or (in_place and name.startswith('best_'))

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        """Save, point to it, and then remove what is one too many."""
        keep, surplus = self.max_keep_ckpts, None
        if keep > 0 and step not in list(self.keep_ckpt_ids)[-1:]:
            surplus = self.keep_ckpt_ids[0] if len(self.keep_ckpt_ids) == keep else None
            self.keep_ckpt_ids.append(step)  # of a length that is kept to; mmengine removes nothing once it is there
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        super()._save_checkpoint_with_step(runner, step, meta)
        if surplus is not None and is_main_process():
            old = self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(surplus))
            if self.file_backend.isdir(old):  # as DeepSpeed's are
                self.file_backend.rmtree(old)
            elif self.file_backend.isfile(old):
                self.file_backend.remove(old)
