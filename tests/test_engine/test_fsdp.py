"""Sharded and unsharded runs end alike, and resume from each other's checkpoints."""

import re
import shutil

import pytest
import torch
from micro_training import ROOT, finish, in_two, make_config
from mmengine.optim import OptimWrapper
from mmpretrain.engine.optimizers import LARS
from stock_encoders import STOCK as STOCK_ENCODERS
from stock_encoders import stock_config

from mixmae_mm.engine.strategies import ShardingStrategy
from mixmae_mm.engine.strategies.fsdp import wrap_blocks
from mixmae_mm.registry import MODELS
from mixmae_mm.utils.safe_io.checksum import MARK

pytestmark = pytest.mark.slow

BASE = re.compile(r"^_base_ = '(.*)'$", re.MULTILINE)
MONITORING = """
default_hooks['reconstruction'] = dict(type='mixmae_mm.ReconstructionHook', interval=1)
default_hooks['online'] = dict(type='mixmae_mm.OnlineEvaluationHook', interval=1)
"""
# Adam makes much of what rounding leaves of gradients that are 0: a large eps keeps that small.
SETTINGS = """
optim_wrapper = dict(
    optimizer=dict(eps=1e-2), paramwise_cfg=dict(layer_decay_rate=0.7), clip_grad=dict(max_norm=1e-2))
train_dataloader.update(num_workers=0, persistent_workers=False)
"""
MIDDLE, LAST = 'epoch_2.pth', 'epoch_3.pth'


STOCK = dict(
    swin="""
model['backbone'] = dict(
    _delete_=True, type='mmpretrain.SwinTransformer', img_size=64, window_size=4, pad_small_map=True,
    arch=dict(embed_dims=8, depths=(2, 1, 1, 1), num_heads=(1, 1, 2, 2)), drop_path_rate=0.3, with_cp=True)
""",
    svt="""
model['backbone'] = dict(
    _delete_=True, type='mmpretrain.SVT', out_indices=(3,), drop_path_rate=0.3, arch=dict(
        embed_dims=[8, 16, 32, 64], depths=[2, 1, 1, 1], num_heads=[1, 1, 2, 2], patch_sizes=[4, 2, 2, 2],
        strides=[4, 2, 2, 2], mlp_ratios=[2, 2, 2, 2], sr_ratios=[8, 4, 2, 1], window_sizes=[7, 7, 7, 7]))
optim_wrapper['paramwise_cfg']['layer_decay_rate'] = 1.0
""",
)


def write_config(folder, strategy=None, settings=''):
    """Write a config with a strategy and other settings into `folder`, which holds the images."""
    path = folder / f'{strategy or "copies"}{len(settings)}.py'
    text = (folder / 'micro.py').read_text() + SETTINGS + MONITORING + settings
    if strategy:
        text = BASE.sub(rf"_base_ = ['\1', '{ROOT}/configs/_base_/strategies/{strategy}.py']", text)
    path.write_text(text)
    return path


def train(folder, strategy=None, name=None, resume=None, settings=''):
    """Train in two processes and return the work_dir; `resume` is a checkpoint to copy into it and resume from."""
    work_dir = folder / (name or strategy or 'copies')
    work_dir.mkdir()
    options = []
    if resume:
        shutil.copy(resume, work_dir)
        options = ['--resume', work_dir / resume.name]
    command = 'train.py', write_config(folder, strategy, settings), '--work-dir', work_dir, *options
    for process in in_two(*command):
        finish(process)
    return work_dir


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('sharding')
    make_config(folder)
    return folder


@pytest.fixture(scope='module')
def copies(folder):
    """A run in which each process holds the whole model."""
    return train(folder)


@pytest.fixture(scope='module')
def sharded(folder):
    """The same run with the model sharded."""
    return train(folder, 'fsdp')


def load(path):
    return torch.load(path, weights_only=False)


def check_same(found, expected):
    """Compare weights and optimizers."""
    torch.testing.assert_close(dict(found['state_dict']), dict(expected['state_dict']), atol=1e-5, rtol=1e-5)
    assert settings(found['optimizer']) == settings(expected['optimizer'])
    ours, theirs = (in_order(checkpoint['optimizer']) for checkpoint in (found, expected))
    assert len(ours) > 10
    assert ours[0].keys() == {'step', 'exp_avg', 'exp_avg_sq'}
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def settings(optimizer):
    """List the settings of an optimizer's groups, without their parameters."""
    return [{key: value for key, value in group.items() if key != 'params'} for group in optimizer['param_groups']]


def in_order(optimizer):
    """List the states of an optimizer's parameters in the order of its groups."""
    return [optimizer['state'][key] for group in optimizer['param_groups'] for key in group['params']]


def test_both_end_alike_and_did_train(copies, sharded):
    last = load(sharded / LAST)
    check_same(last, load(copies / LAST))
    assert MARK in (sharded / 'epoch_1.pth').read_bytes()[-200:]
    first = load(sharded / 'epoch_1.pth')['state_dict']
    assert max((first[name] - value).abs().max() for name, value in last['state_dict'].items()) > 1e-4


@pytest.mark.parametrize('name', STOCK)
def test_an_encoder_of_a_library_ends_alike_too(folder, name):
    """Swin has shifted windows and recomputes blocks in the backward pass; SVT has convolutions, source by source."""
    runs = [train(folder, strategy, f'{name}_{strategy}', settings=STOCK[name]) for strategy in (None, 'fsdp')]
    check_same(*(load(run / LAST) for run in runs))


@pytest.mark.parametrize('name', STOCK_ENCODERS)
def test_each_block_of_a_library_is_gathered_by_itself(name):
    pytest.importorskip(name.partition('.')[0])
    encoder = MODELS.build(dict(stock_config(name)))
    gathered = [module for module in encoder.modules() if wrap_blocks(module, False, 0)]
    blocks = {'Swin': 8, 'PCPVT': 8, 'SVT': 8, 'HiViT': 11, 'TIMM': 8}
    assert len(gathered) == next((number for kind, number in blocks.items() if kind in name), 5)


def test_the_first_process_monitors_unsharded_models_alone(copies, sharded):
    """Monitoring changes nothing: the sharded run, which cannot be monitored, ends alike."""
    (log,), (other,) = ([path.read_text() for path in sorted(run.glob('*/*.log'))] for run in (copies, sharded))
    for name in ('ReconstructionHook', 'OnlineEvaluationHook'):
        assert len(re.findall(f'{name}: .* after iteration', log)) == 3
        assert f'{name} failed' not in log
        assert other.count(f'{name} is disabled: the model is sharded across processes') == 1
    assert len(list(copies.glob('*/vis_data/vis_image/*.png'))) == 3
    assert not list(sharded.glob('*/vis_data/vis_image/*.png'))


def test_a_sharded_run_resumes_from_an_unsharded_one(folder, copies):
    check_same(load(train(folder, 'fsdp', 'to_sharded', copies / MIDDLE) / LAST), load(copies / LAST))


def test_an_unsharded_run_resumes_from_a_sharded_one(folder, copies, sharded):
    check_same(load(train(folder, None, 'to_whole', sharded / MIDDLE) / LAST), load(copies / LAST))


def strategy_in(folder, **settings):
    return ShardingStrategy(work_dir=str(folder), env_kwargs=dict(launcher='none'), **settings)


@pytest.mark.parametrize('kind', [LARS, torch.optim.Adagrad])
def test_optimizers_that_look_at_whole_tensors_are_refused(tmp_path, kind):
    strategy, model = strategy_in(tmp_path), torch.nn.Linear(1, 1)
    strategy._built = OptimWrapper(kind(model.parameters(), lr=1.0))
    with pytest.raises(ValueError, match=f'{kind.__name__} needs whole tensors'):
        strategy.build_optim_wrapper({}, model)


@pytest.mark.parametrize('settings', [dict(state_dict_cfg='local'), dict(model_wrapper=dict(use_orig_params=False))])
def test_what_would_not_write_whole_checkpoints_is_refused(tmp_path, settings):
    with pytest.raises(ValueError, match=r'whole checkpoints .* by name'):
        strategy_in(tmp_path, **settings)
