"""What is stored and logged of a step that was skipped."""

from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.dist import is_main_process
from mmengine.runner import Runner
from mmengine.runner.checkpoint import get_state_dict, weights_to_cpu
from torch.distributed.fsdp import FullyShardedDataParallel

from mixmae_mm.engine.hooks.nonfinite import NOTHING, Finding, Iteration
from mixmae_mm.utils.atomic_write import atomic_write

COMMAND = 'python tools/analysis_tools/replay_nonfinite.py'


class Fault(NamedTuple):
    """A skipped step as one process saw it."""

    rank: int
    words: str
    """Which numbers were not finite there."""
    bad_loss: bool
    """A loss was, and not only gradients, which processes share."""
    finding: str
    """Where it began."""

    def describe(self, number: int, count: str, folder: Path) -> str:
        """Return the message on the event that is kept in `folder`, of this process, at iteration `number`."""
        replay = f'{COMMAND} {folder}' + (f' --rank {self.rank}' if self.rank else '')
        return (
            f'iteration {number}: {self.words}. This step was skipped ({count} before the run stops). {self.finding}. '
            f'To run it again: {replay}'
        )


def worst(faults: list[Fault]) -> Fault:
    """Choose the first process in which something was found, one with a bad loss before one with gradients alone."""
    return max(faults, key=lambda fault: (fault.finding != NOTHING, fault.bad_loss))


def keep_event(runner: Runner, folder: Path, words: str, finding: Finding, iteration: Iteration) -> None:
    """Write what led to a fault, from each process that has something, and the weights and config of all."""
    if is_main_process() or finding.text != NOTHING:
        content = dict(fault=words, finding=finding.text, assignments=finding.assignments)
        _save(content | dict(iterations=[iteration._asdict()]), folder / f'rank_{runner.rank}.pth')
    sharded = isinstance(runner.model, FullyShardedDataParallel)
    model = runner.model if sharded else getattr(runner.model, 'module', runner.model)
    weights = model.state_dict() if sharded else get_state_dict(model)  # of all processes together
    if is_main_process():
        _save(dict(state_dict=weights_to_cpu(weights)), folder / 'weights.pth')
        with atomic_write(folder / 'config.py') as file:
            file.write(runner.cfg.pretty_text.encode())


def _save(content: dict, path: Path) -> None:
    """Write a file of PyTorch's, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        torch.save(content, file)


def what_now(work_dir: str) -> str:
    """Describe from where to resume, and what to change."""
    pointer = Path(work_dir, 'last_checkpoint')
    last = pointer.read_text().strip() if pointer.is_file() else None
    begin = 'There is no checkpoint yet: start'
    if last:
        begin = f'The last checkpoint, {last}, is from before: resume from it'
    return (
        f'{begin} with something changed, as the same would happen again: a smaller learning rate, clip_grad, or '
        'without the images at fault'
    )
