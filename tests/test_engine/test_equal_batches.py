"""One large batch, the same in parts one after another, and the same sharded among processes: the same weights."""

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

STEPS, BATCH = 3, 8
METHODS = {'MixMAE': tiny_model, 'MixedAE': tiny_mixedae, 'MAE': lambda: tiny_mixedae(num_sources=1, mask_ratio=0.75)}


def build(method):
    torch.manual_seed(0)
    return MODELS.build(METHODS[method]()).train()


def mixtures(method):
    torch.manual_seed(1)
    mix = MODELS.build(METHODS[method]()['data_preprocessor']).mix
    return [mix(torch.randn(BATCH, 3, 32, 32)) for _ in range(STEPS)]


def halves(images):
    """Cut mixtures in two; an assignment that all share goes to both."""
    half = len(images.mixed) // 2
    return [
        MixedImages(*(x if x is None or len(x) == 1 else x[part] for x in images))
        for part in (slice(half), slice(half, None))
    ]


def wrapper(model, parts=1):
    """Not Adam, which makes much of what rounding leaves of gradients that are 0, such as those of key biases."""
    return OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), accumulative_counts=parts)


def total(losses):
    return sum(value for name, value in losses.items() if name.startswith('loss'))


def train_whole(method):
    model = build(method)
    optimizer = wrapper(model)
    for images in mixtures(method):
        optimizer.update_params(total(model.loss(images)))
    return model.state_dict()


def check_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('method', METHODS)
def test_accumulated_gradients_are_those_of_the_larger_batch(method):
    model, start = build(method), build(method).state_dict()
    optimizer = wrapper(model, parts=2)
    for images in mixtures(method):
        for part in halves(images):
            optimizer.update_params(total(model.loss(part)))
    check_same(model.state_dict(), train_whole(method))
    assert any((value - start[name]).abs().max() > 1e-3 for name, value in model.state_dict().items())


def whole_copies(model):
    return MMDistributedDataParallel(model, find_unused_parameters=False)


def shared_out(model):
    device = torch.device('cpu')
    model = MMFullyShardedDataParallel(model, auto_wrap_policy=wrap_blocks, device_id=device)
    model.set_state_dict_type(model, StateDictType.FULL_STATE_DICT)
    return model


def train_part(rank, method, share, folder, port):
    """Train on one half of each batch, in one of two processes."""
    faulthandler.dump_traceback_later(100, exit=True)
    torch.set_num_threads(1)
    distributed.init_process_group('gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=2)
    model = share(build(method))
    optimizer = wrapper(model)
    for images in mixtures(method):
        optimizer.update_params(total(model(halves(images)[rank], mode='loss')))
    distributed.barrier()
    weights = {name.removeprefix('module.'): value for name, value in model.state_dict().items()}
    torch.save(weights, f'{folder}/{rank}.pth')
    os._exit(0)  # seldom, gloo waits for ever for its threads when it is taken down


@pytest.mark.slow
@pytest.mark.parametrize('share', [whole_copies, shared_out])
@pytest.mark.parametrize('method', METHODS)
def test_two_processes_reach_the_weights_of_one(method, share, tmp_path):
    port = free_port()
    spawn(train_part, (method, share, str(tmp_path), port), processes=2)
    for rank in (0, 1):
        check_same(torch.load(tmp_path / f'{rank}.pth'), train_whole(method))
