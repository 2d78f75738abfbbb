"""A toy model that breaks on request: by its batch, its weights, a module, or in the backward pass."""

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS, MODELS, OPTIM_WRAPPERS
from torch import nn
from training_toys import ToyModel, toy_config


class Squares(nn.Module):
    """A module whose output is infinite if the squares of its input overflow."""

    def forward(self, x):
        return x + 1e-3 * x * x


class Broken(torch.autograd.Function):
    """The identity, whose gradient is NaN if an input exceeds 1000 in magnitude."""

    @staticmethod
    def forward(ctx, x):
        ctx.broken = bool(x.abs().max() > 1000)
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * float('nan') if ctx.broken else gradient


class BreaksBack(nn.Module):
    def forward(self, x):
        return Broken.apply(x)


@MODELS.register_module()
class FragileModel(ToyModel):
    """Linear layers with squares, batch norm, and a module that breaks in the backward pass."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(8, 8), Squares(), nn.BatchNorm1d(8), nn.Linear(8, 16), BreaksBack(), nn.Dropout(0.3),
            nn.Linear(16, 8),
        )  # fmt: skip


@HOOKS.register_module()
class PoisonHook(Hook):
    """Make the batch or the weights bad before these iterations."""

    def __init__(self, at, what='batch', rank=None):
        self.at, self.what, self.rank = at, what, rank

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter not in self.at or self.rank not in (None, runner.rank):
            return
        model = getattr(runner.model, 'module', runner.model)
        if self.what == 'weights':
            model.layers[3].weight.data[0, 0] = float('nan')
        elif self.what == 'backward':
            model.layers[3].bias.data[0] = 2000.0
        else:
            data_batch['inputs'][0, 0] = {'batch': float('nan'), 'module': 1e25}[self.what]


def snapshot(runner):
    """Copy weights, running statistics and the optimizer's state."""
    model = getattr(runner.model, 'module', runner.model)
    state = runner.optim_wrapper.optimizer.state_dict()['state']
    return [
        {name: value.clone() for name, value in model.state_dict().items()},
        {number: {key: value.clone() for key, value in entry.items()} for number, entry in state.items()},
    ]


@OPTIM_WRAPPERS.register_module()
class ScalingWrapper(OptimWrapper):
    """The loss scaling of `AmpOptimWrapper`, on a CPU."""

    def __init__(self, scale, **settings):
        super().__init__(**settings)
        self.loss_scaler = torch.amp.GradScaler('cpu', init_scale=scale)

    def backward(self, loss, **kwargs):
        self.loss_scaler.scale(loss).backward(**kwargs)
        self._inner_count += 1

    def step(self, **kwargs):
        self.loss_scaler.step(self.optimizer, **kwargs)
        self.loss_scaler.update()


def fragile_config(work_dir, max_events=3, poison=None, **settings):
    """Return a config of two epochs of 6 iterations with `FragileModel` and the NaN guard; `poison` makes steps bad."""
    imports = dict(custom_imports=dict(imports=['training_toys', 'fragile_toys'], allow_failed_imports=False))
    settings = dict(model=dict(type='FragileModel'), train_cfg=dict(by_epoch=True, max_epochs=2)) | settings
    config = toy_config(work_dir, **imports, **settings)
    config.default_hooks.guard = dict(type='mixmae_mm.NanGuardHook', max_events=max_events)
    if poison:
        config.default_hooks.poison = dict(type='PoisonHook', **poison)
    return config
