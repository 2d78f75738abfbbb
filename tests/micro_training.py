"""A whole MixMAE training through the tools, in processes of its own, small enough to take seconds."""

import os
import signal
import socket
from pathlib import Path

import numpy as np
import torch
from forked import Program
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from PIL import Image

ROOT = Path(__file__).parents[1]
BASE = ROOT / 'configs/mixmae/mixmae_mixmim-swin-micro_1xb64-coslr-40e_materials-64px.py'
IMAGES = 32

CONFIG = """
_base_ = '{base}'

custom_imports = dict(imports=['micro_training'], allow_failed_imports=False)
model = dict(
    data_preprocessor=dict(cell_size=32),
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2)),
        patch_size=4, img_size=64, window_sizes=(4, 4, 4, 2), out_indices=(3,), drop_path_rate=0.3),
    neck=dict(in_channels=64, grid_size=2, cell_size=32, embed_dims=8, depth=1, num_heads=2),
    head=dict(cell_size=32))
train_dataloader = dict(
    batch_size=8, num_workers=2, persistent_workers=True, dataset=dict(data_root='{images}'))
default_hooks = dict(
    logger=dict(interval=1), checkpoint=dict(by_epoch={by_epoch}, interval={interval}),
    reconstruction=dict(interval=0), online=dict(interval=0))
log_processor = dict(by_epoch={by_epoch})
custom_hooks = [dict(type='SignalHook', after=None)]
param_scheduler = dict(_delete_=True, type='CosineAnnealingLR', T_max=12, by_epoch=False)
"""
EPOCHS = 'train_cfg = dict(max_epochs=3)\n'
ITERATIONS = """
train_cfg = dict(_delete_=True, by_epoch=False, max_iters=12)
train_dataloader['sampler'] = dict(type='mixmae_mm.SeededInfiniteSampler', shuffle=True)
"""


@HOOKS.register_module()
class SignalHook(Hook):
    """Send this process a signal after so many iterations."""

    priority = 'LOWEST'

    def __init__(self, after, name='SIGKILL'):
        self.after, self.signal = after, getattr(signal, name)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.after:
            os.kill(os.getpid(), self.signal)


@HOOKS.register_module()
class RecordHook(Hook):
    """Note for each rank what it saw, and the weights before and after, in `<work_dir>/rank<number>.pt`."""

    def before_train(self, runner):
        self.model = getattr(runner.model, 'module', runner.model)
        begun = {name: value.clone() for name, value in self.model.backbone.state_dict().items()}
        self.record = dict(images=[], assignments=[], begun=begun)
        self.model.data_preprocessor.register_forward_hook(self._note_assignment)

    def _note_assignment(self, preprocessor, inputs, outputs):
        self.record['assignments'].append(outputs['inputs'].assignment.clone())

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.record['images'].append([Path(sample.img_path).name for sample in data_batch['data_samples']])

    def after_train(self, runner):
        self.record['weights'] = self.model.state_dict()
        torch.save(self.record, Path(runner.work_dir, f'rank{runner.rank}.pt'))


def make_images(folder):
    """Write images of smooth noise."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(IMAGES):
        noise = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((80, 72), Image.Resampling.BICUBIC).save(folder / f'{number:02}.jpg')


def make_config(folder, by_epoch=True):
    """Write images and a config for them into a folder; the config's path."""
    make_images(folder / 'images')
    path = folder / 'micro.py'
    values = dict(base=BASE, images=folder / 'images', by_epoch=by_epoch, interval=1 if by_epoch else 5)
    path.write_text(CONFIG.format(**values) + (EPOCHS if by_epoch else ITERATIONS))
    return path


def free_port():
    """Find a port of this machine that nobody listens at."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        return free.getsockname()[1]


def tool(name, *arguments):
    """Start one of the tools."""
    return Program(ROOT / 'tools' / name, *arguments)


def in_two(name, *arguments):
    """Start one of the tools in two processes that train together, as `dist_train.sh` does."""
    job = dict(WORLD_SIZE=2, LOCAL_WORLD_SIZE=2, MASTER_ADDR='127.0.0.1', MASTER_PORT=free_port())
    words = (ROOT / 'tools' / name, arguments[0], '--launcher', 'pytorch', *arguments[1:])
    return [Program(*words, RANK=rank, LOCAL_RANK=rank, **job) for rank in (0, 1)]


def finish(process, status=0, timeout=120):
    """Wait for a program that must end with this status; what it printed on both streams."""
    out, err = process.communicate(timeout=timeout)
    assert process.returncode == status, f'ended with {process.returncode}\n{out[-2000:]}\n{err[-4000:]}'
    return out, err
