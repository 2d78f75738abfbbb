"""A model, a dataset and a config so small that a whole training takes a fraction of a second.

Everything in them is random in every way training can be: the augmentation draws from Python, numpy and torch in the
loader workers, the model from torch and numpy in the training process.
"""

import random
import uuid
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS, MODELS, TRANSFORMS
from mmengine.runner import Runner, find_latest_checkpoint
from torch import nn
from torch.nn import functional

ROOT = Path(__file__).parents[1]


@DATASETS.register_module()
class ToyImages(BaseDataset):
    """Eight numbers per image."""

    METAINFO = dict(classes=('a', 'b'))

    def load_data_list(self):
        generator = torch.Generator().manual_seed(7)
        return [dict(image=torch.rand(8, generator=generator).numpy(), number=i) for i in range(24)]


@TRANSFORMS.register_module()
class ToyAugment:
    """Add noise from all three global generators, and return the draws too."""

    def __call__(self, results):
        draws = torch.tensor([random.random(), np.random.rand(), torch.rand(()).item()])
        inputs = torch.from_numpy(results['image']) + draws.sum()
        return dict(inputs=inputs.float(), draws=draws, number=results['number'])


@MODELS.register_module()
class ToyModel(BaseModel):
    """Two layers with dropout, and noise from numpy as in mixup."""

    def __init__(self, width=16):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, width), nn.Dropout(0.3), nn.GELU(), nn.Linear(width, 8))

    def forward(self, inputs, mode='tensor', **kwargs):
        restored = self.layers(inputs * (1 + np.random.rand()))
        if mode == 'loss':
            return dict(loss=functional.mse_loss(restored, inputs))
        return restored


@HOOKS.register_module()
class InterruptHook(Hook):
    """Ctrl-C after so many iterations."""

    priority = 'LOWEST'

    def __init__(self, after):
        self.after = after

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.after:
            raise KeyboardInterrupt


def toy_config(work_dir, by_epoch=True, num_workers=0, seed_sample=True, iteration_seed=True, **settings):
    """Return a config of four epochs of 6 iterations with a checkpoint each, or 24 iterations with one every 5."""
    pipeline = [dict(type='mixmae_mm.SeedSample')] * seed_sample + [dict(type='ToyAugment')]
    hooks = dict(
        logger=dict(type='LoggerHook', interval=1),
        checkpoint=dict(type='CheckpointHook', by_epoch=by_epoch, interval=1 if by_epoch else 5, save_last=True),
    )
    if iteration_seed:
        hooks['iteration_seed'] = dict(type='mixmae_mm.IterationSeedHook')
    sampler = 'mixmae_mm.SeededSampler' if by_epoch else 'mixmae_mm.SeededInfiniteSampler'
    config = dict(
        default_scope='mmengine',
        custom_imports=dict(imports=['training_toys'], allow_failed_imports=False),
        work_dir=str(work_dir),
        experiment_name=uuid.uuid4().hex,
        model=dict(type='ToyModel'),
        train_dataloader=dict(
            batch_size=4,
            num_workers=num_workers,
            sampler=dict(type=sampler, shuffle=True),
            dataset=dict(type='ToyImages', pipeline=pipeline),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=4) if by_epoch else dict(by_epoch=False, max_iters=24),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=0.01)),
        param_scheduler=dict(type='CosineAnnealingLR', T_max=24, by_epoch=False),
        default_hooks=hooks,
        log_processor=dict(by_epoch=by_epoch),
        randomness=dict(seed=0, diff_rank_seed=True),
        log_level='WARNING',
    )
    return Config(config | settings)


def run_until(config, interrupt_after=None, kind=Runner, **settings):
    """Train in this process until the end or an interruption."""
    config = Config(config.to_dict() | settings)
    config.experiment_name = uuid.uuid4().hex
    if interrupt_after is not None:
        config.custom_hooks = [*config.get('custom_hooks', []), dict(type='InterruptHook', after=interrupt_after)]
    runner = kind.from_cfg(config)
    try:
        runner.train()
    except KeyboardInterrupt:
        assert interrupt_after is not None
    # Loader workers that the garbage collector finds later take five seconds each to end.
    for loader in (runner.train_dataloader, getattr(runner.train_loop, 'dataloader_iterator', None)):
        if hasattr(loader, '_iterator'):
            loader._iterator = None
    return runner


def last_checkpoint(work_dir):
    """Read the checkpoint a run wrote last."""
    return torch.load(find_latest_checkpoint(str(work_dir)), map_location='cpu', weights_only=False)


def same(one, other):
    """Return whether two nests of dicts, lists, tensors and numbers are equal to the bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return one == other


TRAINED = ('state_dict', 'optimizer', 'param_schedulers')


def trained_alike(one, other):
    """Return for weights, optimizer and schedules whether two runs ended bitwise equal."""
    return {part: same(one[part], other[part]) for part in TRAINED}
