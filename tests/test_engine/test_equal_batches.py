"""A large batch gives the same weights at once, in parts one after another, and split across processes."""

import faulthandler
import os

import pytest
import torch
from forked import spawn
from micro_training import free_port
from mmengine.model import MMDistributedDataParallel
from mmengine.model.wrappers import MMFullyShardedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS
from tiny_mixmae import tiny_mixedae, tiny_model
from torch import distributed
from torch.distributed.fsdp import StateDictType

from mixmae_mm.engine.strategies import wrap_blocks
from mixmae_mm.mixing import MixedImages

STEPS, BATCH, CLOSE = 3, 8, dict(atol=1e-5, rtol=1e-5)
METHODS = {'MixMAE': tiny_model, 'MixedAE': tiny_mixedae, 'MAE': lambda: tiny_mixedae(num_sources=1, mask_ratio=0.75)}


def build(method):
    torch.manual_seed(0)
    return MODELS.build(METHODS[method]()).train()


def mixtures(method):
    torch.manual_seed(1)
    mix = MODELS.build(METHODS[method]()['data_preprocessor']).mix
    return [mix(torch.randn(BATCH, 3, 32, 32)) for _ in range(STEPS)]


def halves(images):
    """Cut mixtures in two; both halves get a shared assignment."""
    half = len(images.mixed) // 2
    return [
        MixedImages(*(x if x is None or len(x) == 1 else x[part] for x in images))
        for part in (slice(half), slice(half, None))
    ]


def train(model, method, parts=1, rank=None):
    """Train on whole batches, on their halves one after another, or on this process's half.

    The optimizer is SGD: Adam amplifies rounding errors of gradients that should be 0, such as those of key biases.
    """
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), accumulative_counts=parts)
    for images in mixtures(method):
        batches = [images] if parts == 1 else halves(images)
        for batch in batches if rank is None else [halves(images)[rank]]:
            losses = model(batch, mode='loss')
            optimizer.update_params(sum(value for name, value in losses.items() if name.startswith('loss')))
    return {name.removeprefix('module.'): value for name, value in model.state_dict().items()}


@pytest.mark.parametrize('method', METHODS)
def test_accumulated_gradients_are_those_of_the_larger_batch(method):
    start, whole = build(method).state_dict(), train(build(method), method)
    torch.testing.assert_close(train(build(method), method, parts=2), whole, **CLOSE)
    assert any((value - start[name]).abs().max() > 1e-3 for name, value in whole.items())


def copied(model):
    return MMDistributedDataParallel(model, find_unused_parameters=False)


def sharded(model):
    model = MMFullyShardedDataParallel(model, auto_wrap_policy=wrap_blocks, device_id=torch.device('cpu'))
    model.set_state_dict_type(model, StateDictType.FULL_STATE_DICT)
    return model


def train_parts(rank, folder, port):
    """Train on one half of each batch, in one of two processes."""
    faulthandler.dump_traceback_later(200, exit=True)
    torch.set_num_threads(1)
    distributed.init_process_group('gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=2)
    for method in METHODS:
        for share in (copied, sharded):
            weights = train(share(build(method)), method, rank=rank)
            torch.save(weights, f'{folder}/{method}_{share.__name__}_{rank}.pth')
    distributed.barrier()
    os._exit(0)  # seldom, gloo waits for ever for its threads when it is taken down


@pytest.mark.slow
def test_two_processes_reach_the_weights_of_one(tmp_path):
    spawn(train_parts, (str(tmp_path), free_port()), processes=2)
    for method in METHODS:
        whole = train(build(method), method)
        for share in ('copied', 'sharded'):
            for rank in (0, 1):
                found = torch.load(tmp_path / f'{method}_{share}_{rank}.pth')
                torch.testing.assert_close(found, whole, **CLOSE)
