"""A guard against NaN and infinity: such steps are skipped and stored, and several of them stop the run."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_gather_object, all_reduce, is_distributed, is_main_process
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from mmengine.runner.checkpoint import weights_to_cpu
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.utils._pytree import tree_leaves

from mixmae_mm.engine.strategies.fsdp import plain_name
from mixmae_mm.registry import HOOKS
from mixmae_mm.utils.atomic_write import atomic_write
from mixmae_mm.utils.safe_io.safe_saving import write_archive
from mixmae_mm.utils.seed import fold, seeded

NOTHING = 'nothing non-finite when it was run again'
STATISTICS = 'running_mean', 'running_var', 'num_batches_tracked'


@HOOKS.register_module()
class NanGuardHook(Hook):
    """Hook that skips steps with a non-finite loss or gradient, stores them for replay, and stops the run after a few.

    Loss and gradients are checked before clipping, which would spread one bad gradient to all; if one process finds a
    fault, all skip the step. Skipping leaves weights, optimizer and running statistics unchanged. In float16, infinite
    gradients are left to the loss scaler until its scale is below 1; bfloat16 needs no scaler, so it is switched off.

    Iterations that accumulate gradients for the same step are skipped together. The first faulty one is stored in
    `nonfinite/iter_N` in the work_dir; `tools/analysis_tools/replay_nonfinite.py` runs it again.

    Args:
        max_events: Number of skipped steps that stops the run.
    """

    priority = 'LOW'

    def __init__(self, max_events: int = 3) -> None:
        self.max_events, self.events = max_events, 0

    def before_train(self, runner: Runner) -> None:
        """Replace `backward` and `step` of the optimizer wrapper."""
        self.losses, self.statistics, self.wrapper = [], [], runner.optim_wrapper
        self.sound: Tensor | None = None
        self.fault: str | None = None
        if not isinstance(self.wrapper, OptimWrapper):
            kind = type(self.wrapper).__name__
            runner.logger.warning(f'NanGuardHook ignores {kind}: steps with non-finite numbers are not skipped')
            return
        self.after_train(runner)
        self.backward, self.step = self.wrapper.backward, self.wrapper.step
        self.wrapper.backward, self.wrapper.step = self._backward, self._step
        if getattr(self.wrapper, 'cast_dtype', None) == torch.bfloat16:
            self.wrapper.loss_scaler = torch.amp.GradScaler(enabled=False)
        self.model = getattr(runner.model, 'module', runner.model)
        self.statistics = [value for name, value in self.model.named_buffers() if name.split('.')[-1] in STATISTICS]

    def after_train(self, runner: Runner) -> None:
        """Restore the optimizer wrapper."""
        for name in ('backward', 'step'):
            vars(runner.optim_wrapper).pop(name, None)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Drop the empty state of a disabled loss scaler, which an enabled one would refuse to load."""
        optimizer = checkpoint.get('optimizer')
        if isinstance(optimizer, dict) and optimizer.get('loss_scaler') == {}:
            del optimizer['loss_scaler']

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Record what the iteration starts from, unless an earlier iteration of the same step was faulty."""
        if self.sound is None:
            self.kept = [statistic.clone() for statistic in self.statistics]
        if self.sound is None or self.sound:
            seed = fold(runner.seed, runner.rank, runner.iter)
            self.iteration = dict(number=runner.iter, batch=data_batch, seed=seed)

    def _backward(self, loss: Tensor, **kwargs: Any) -> None:
        """Run the backward pass; check the loss and, unless a loss scaler handles them, the gradients so far."""
        self.losses.append(loss.detach())
        self.backward(loss, **kwargs)
        numbers, scaler = [loss.detach().float()], getattr(self.wrapper, 'loss_scaler', None)
        if scaler is None or not scaler.is_enabled() or scaler.get_scale() < 1:
            groups = self.wrapper.optimizer.param_groups
            gradients = [p.grad for group in groups for p in group['params'] if p.grad is not None and p.grad.numel()]
            numbers += [norm.float() for norm in torch._foreach_norm(gradients, float('inf'))] if gradients else []
        sound = torch.stack(numbers).isfinite().all()
        self.sound = sound if self.sound is None else self.sound & sound

    def _step(self, **kwargs: Any) -> None:
        """Step if everything is finite in all processes; otherwise describe what is not finite in this one."""
        sound = self.sound.int()
        if is_distributed():
            all_reduce(sound, 'min')
        if sound.item():
            self.step(**kwargs)
        else:
            losses = [f'loss {loss.item():g}' for loss in self.losses if not loss.isfinite()]
            self.fault = ', '.join(losses + bad_gradients(self.model))
        self.losses.clear()
        self.sound = None

    def after_train_iter(self, runner: Runner, batch_idx: int, *args: object, **others: object) -> None:
        """After a skipped step, store it for replay and warn, or raise `FloatingPointError` if there were too many."""
        if self.fault is None:
            return
        fault, self.fault = self.fault, None
        self.events += 1
        finding, folder = self._find(runner), Path(runner.work_dir, 'nonfinite', f'iter_{runner.iter}')
        self._store(runner, folder, dict(self.iteration, fault=fault, finding=finding))
        # report a process with a finding if any, then one with a bad loss, then the lowest rank
        everywhere = all_gather_object((finding != NOTHING, fault.startswith('loss'), -runner.rank, fault, finding))
        _, _, rank, fault, finding = max(everywhere)
        message = (
            f'iteration {runner.iter}: {fault}. This step was skipped ({self.events} of {self.max_events} before the '
            f'run stops); {finding}. To run it again: python tools/analysis_tools/replay_nonfinite.py {folder}'
            f'{f" --rank {-rank}" if rank else ""}'
        )
        if self.events >= self.max_events:
            raise FloatingPointError(
                f'{message}. Resuming from the last checkpoint would only repeat this: resume with --allow-changes '
                'and clip_grad, or without the images at fault; or start from its weights (load_from) with a '
                'smaller learning rate'
            )
        runner.logger.warning(message)

    def _find(self, runner: Runner) -> str:
        """Run the iteration again, unless the model is sharded, and restore the running statistics."""
        finding = 'the model is sharded across processes: run the step again to find the module'
        if not isinstance(runner.model, FullyShardedDataParallel):
            batch, seed = self.iteration['batch'], self.iteration['seed']
            finding = find_nonfinite(self.model, batch, seed, self.wrapper.optim_context)
        for statistic, value in zip(self.statistics, self.kept, strict=True):
            statistic.copy_(value)
        return finding

    def _store(self, runner: Runner, folder: Path, event: dict) -> None:
        """Write the event from rank 0 and from each process that found a cause, and the weights and config once."""
        weights = runner.model.state_dict()  # by all processes together, as each may hold a shard
        folder.mkdir(parents=True, exist_ok=True)
        files = {f'rank_{runner.rank}.pth': event} if is_main_process() or event['finding'] != NOTHING else {}
        if is_main_process():
            plain = {name.removeprefix('module.'): value for name, value in weights_to_cpu(weights).items()}
            files['weights.pth'] = dict(state_dict=plain)
            (folder / 'config.py').write_text(runner.cfg.pretty_text)
        for name, content in files.items():
            with atomic_write(folder / name) as file:
                write_archive(content, file)


def is_finite(nest: object) -> bool:
    """Return whether all tensors in nested tuples, lists and dicts are finite."""
    return all(bool(leaf.isfinite().all()) for leaf in tree_leaves(nest) if isinstance(leaf, Tensor))


def bad_gradients(model: nn.Module) -> list[str]:
    """Describe the non-finite gradients, if any, from the first to the last that the backward pass reaches."""
    bad = [plain_name(name) for name, p in model.named_parameters() if not is_finite(p.grad)]
    return [f'{len(bad)} non-finite gradients, from {bad[-1]} back to {bad[0]}'] if bad else []


def find_nonfinite(
    model: BaseModel, batch: Any, seed: int, precision: Callable[[nn.Module], AbstractContextManager]
) -> str:
    """Run a batch of the loader again; describe the first module with a non-finite output, or else bad gradients.

    Random states are restored, running statistics are not. `precision` returns the context of the forward pass, as an
    optimizer wrapper's `optim_context` does.
    """
    found: list[str] = []
    handles = [module.register_forward_hook(partial(_look, found, name)) for name, module in model.named_modules()]
    try:
        with seeded(seed), torch.compiler.set_stance('force_eager'):  # hooks break graphs
            with precision(model):
                losses = model._run_forward(model.data_preprocessor(batch, True), mode='loss')
            model.parse_losses(losses)[0].backward()
    except Exception as error:  # models may raise nearly anything once there is a NaN
        found.append(f'running it again ended with {type(error).__name__}: {error}')
    for handle in handles:
        handle.remove()
    found += bad_gradients(model)
    model.zero_grad(set_to_none=True)
    return found[0] if found else NOTHING


def _look(found: list[str], name: str, module: nn.Module, inputs: tuple, output: object) -> None:
    """Record the first module with a non-finite output, and whether its input and its own tensors are finite."""
    if found or is_finite(output):
        return
    own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    bad = ', '.join(key for key, tensor in own if not is_finite(tensor))
    given = 'its input is finite' if is_finite(inputs) else 'so is its input already'
    where = f'{name or "the model"} ({type(module).__name__}); {given}' + f'; so are its own {bad}' * bool(bad)
    found.append(f'first module with a non-finite output: {where}')
