"""Settings that nothing reads are refused, with the nearest that something reads, or with what they feed."""

from pathlib import Path

import pytest
from mmengine.config import Config

from mixmae_mm.utils.config_keys import TOP, check_names, check_options
from mixmae_mm.utils.config_sources import fed_by, set_in_vain
from mixmae_mm.utils.launching import load_config

CONFIGS = Path(__file__).parents[2] / 'configs'
MICRO = CONFIGS / 'mixmae/mixmae_mixmim-swin-micro_1xb64-coslr-40e_shapes-64px.py'
CLASSIFIER = CONFIGS / 'classification/mixmim-swin-micro-scratch_1xb64-coslr-10e_shapes-64px.py'
BASE = """
batch_size, side = 8, 64
data_root = 'images'
_set = dict(type='ImageFolder', data_root=data_root)
pipeline = [dict(type='Load'), dict(type='Crop', scale=side)]
pipeline.append(dict(type='Flip', size=side))
model = dict(backbone=dict(img_size=side), head=dict(cells=(side // 32) ** 2))
train_dataloader = dict(batch_size=batch_size, dataset=dict(_set, pipeline=pipeline))
val_dataloader = dict(batch_size=2 * batch_size)
val_dataloader['dataset'] = _set
test_dataloader = val_dataloader
"""


@pytest.fixture
def base(tmp_path):
    (tmp_path / 'base.py').write_text(BASE)
    return tmp_path / 'base.py'


@pytest.mark.parametrize(
    ('key', 'near'),
    [
        ('train_dataloder.batch_size', 'train_dataloader'),
        ('optim_wraper.optimizer.lr', 'optim_wrapper'),
        ('train_dataloader.batchsize', 'batch_size'),
        ('train_dataloader.dataset.dataroot', 'data_root'),
        ('train_dataloader.sampler.shufle', 'shuffle'),
        ('model.bakcbone.in_channels', 'backbone'),
        ('model.backbone.in_chanels', 'in_channels'),
        ('optim_wrapper.clip_gard.max_norm', 'clip_grad'),
        ('optim_wrapper.optimizer.weight_deacy', 'weight_decay'),
        ('train_cfg.max_epoch', 'max_epochs'),
        ('default_hooks.chekpoint.interval', 'checkpoint'),
        ('default_hooks.checkpoint.max_keep_ckpt', 'max_keep_ckpts'),
        ('param_scheduler.0.ends', 'end'),
        ('env_cfg.cudnn_benchmrk', 'cudnn_benchmark'),
        ('env_cfg.mp_cfg.opencv_threads', 'opencv_num_threads'),
        ('randomness.sed', 'seed'),
        ('randomness.determinstic', 'deterministic'),
        ('auto_scale_lr.enabled', 'enable'),
        ('log_processor.windowsize', 'window_size'),
    ],
)
def test_a_misspelt_setting_is_refused_with_the_nearest(key, near):
    with pytest.raises(ValueError, match='nothing reads') as refused:
        load_config(MICRO, {key: '1'})
    assert near in str(refused.value)


@pytest.mark.parametrize(
    'key',
    [
        *('train_dataloader.timeout', 'train_dataloader.prefetch_factor', 'train_dataloader.dataset.max_corrupt'),
        *('model.backbone.in_channels', 'optim_wrapper.clip_grad.max_norm', 'optim_wrapper.accumulative_counts'),
        *('train_cfg.val_begin', 'default_hooks.checkpoint.save_best', 'param_scheduler.1.T_max', 'load_from'),
        *('env_cfg.resource_limit', 'randomness.deterministic', 'val_dataloader.batch_size', 'work_dir'),
        *('model.backbone.init_cfg.checkpoint', 'custom_hooks', 'experiment_name', 'find_unused_parameters'),
        *('optim_wrapper.optimizer.fused', 'default_hooks.ema.type', 'model.neck._delete_', 'env_cfg.dist_cfg.timeout'),
    ],
)
def test_a_setting_that_is_read_is_taken_though_the_config_lacks_it(key):
    assert list(check_options(Config.fromfile(MICRO), [key])) == []


def test_a_misspelt_optimizer_is_refused_with_the_nearest():
    options = {'optim_wrapper.optimizer.type': 'AdamWW'}
    with pytest.raises(ValueError, match='no optimizer AdamWW.*: AdamW$'):
        check_names(load_config(CLASSIFIER, options))


def test_a_wrapper_of_an_unknown_type_is_left_to_mmengine():
    assert check_names(load_config(CLASSIFIER, {'optim_wrapper.type': 'OptimWraper'})) == []


def test_a_type_given_beside_its_settings_is_known():
    options = {'optim_wrapper.optimizer.momentum': '0.9', 'optim_wrapper.optimizer.type': 'SGD'}
    optimizer = load_config(MICRO, options | {'optim_wrapper.optimizer.betas': 'None'}).optim_wrapper.optimizer
    assert (optimizer.type, optimizer.momentum) == ('SGD', 0.9)
    with pytest.raises(ValueError, match='momentum'):
        load_config(MICRO, {'optim_wrapper.optimizer.momentum': '0.9'})


def test_what_a_variable_feeds_is_found_through_other_variables(base):
    found = {name: fed_by(str(base), name, TOP) for name in ('batch_size', 'data_root', 'side', 'nothing')}
    assert found == {
        'batch_size': ['test_dataloader.batch_size', 'train_dataloader.batch_size', 'val_dataloader.batch_size'],
        'data_root': [f'{name}_dataloader.dataset.data_root' for name in ('test', 'train', 'val')],
        'side': ['model.backbone.img_size', 'model.head.cells', 'train_dataloader.dataset.pipeline.1.scale'],
        'nothing': [],
    }


@pytest.mark.parametrize(
    'text',
    [
        "data = dict(type='A', root=root)\ndata = dict(type='Repeat', dataset=data)",
        "one = dict(root=root, other=two)\ntwo = dict(x=one)\ndata = dict(dataset=dict(dataset=two))",
    ],
)
def test_variables_that_contain_themselves_come_to_an_end(tmp_path, text):
    path = tmp_path / 'config.py'
    path.write_text(f"root = 'there'\n{text}\ntrain_dataloader = dict(dataset=data)")
    found = fed_by(str(path), 'root', TOP)
    assert all(place.startswith('train_dataloader.dataset') for place in found)
    assert len(found) >= 1


def test_what_feeds_is_followed_into_bases(base):
    child = base.with_name('child.py')
    child.write_text("_base_ = './base.py'\ntest_dataloader = dict(sampler=dict(x=_base_.train_dataloader.batch_size))")
    assert fed_by(str(child), 'batch_size', TOP)[0] == 'test_dataloader.batch_size'
    assert 'test_dataloader.sampler.x' in fed_by(str(child), 'batch_size', TOP)
    assert 'test_dataloader.sampler.x' not in fed_by(str(child), 'data_root', TOP)


@pytest.mark.parametrize(
    ('config', 'key', 'fed'),
    [
        (MICRO, 'batch_size', 'train_dataloader.batch_size'),
        (MICRO, 'data_root', 'train_dataloader.dataset.data_root'),  # not even a variable of this one
        (MICRO, 'train_pipeline.0.type', 'train_dataloader.dataset.pipeline'),
        (CLASSIFIER, 'data_root', 'val_dataloader.dataset.data_root'),
        (CLASSIFIER, 'warmup_epochs', 'param_scheduler.0.end'),
    ],
)
def test_a_variable_is_refused_with_what_it_feeds(config, key, fed):
    with pytest.raises(ValueError, match=key.split('.')[0]) as refused:
        load_config(config, {key: '8'})
    assert f'{fed}=...' in str(refused.value)


def test_a_variable_of_a_config_written_out_is_refused_by_its_name(tmp_path):
    Config.fromfile(MICRO).dump(tmp_path / 'dumped.py')
    with pytest.raises(ValueError, match=r'train_dataloader\.batch_size=\.\.\.'):
        load_config(tmp_path / 'dumped.py', {'batch_size': '8'})


def test_a_variable_that_a_child_sets_in_vain_is_named(base):
    child = base.with_name('child.py')
    child.write_text("_base_ = './base.py'\ndata_root, side = 'mine', 32\nmodel = dict(neck=dict(size=side))\n")
    fed = [f'{name}_dataloader.dataset.data_root' for name in ('test', 'train', 'val')]
    assert list(set_in_vain(str(child), TOP)) == [('data_root', fed)]
    (warning,) = check_names(Config.fromfile(child))
    assert 'data_root' in warning
    assert fed[1] in warning


def test_near_misses_at_the_top_of_a_file_are_named(tmp_path):
    path = tmp_path / 'config.py'
    used = 'default_hook = 1\nval_cfg = dict(x=default_hook)\n'
    path.write_text(f'train_dataloder = dict(batch_size=2)\nhelper = 3\n{used}')
    (warning,) = check_names(Config.fromfile(path))
    assert 'train_dataloder' in warning
    assert 'train_dataloader' in warning.replace('train_dataloder', '')


@pytest.mark.parametrize('setting', ['env_cfg = dict(cudnn_benchmrk=1)', 'auto_scale_lr = dict(enabled=True)'])
def test_what_mmengine_passes_over_in_silence_is_refused_in_a_file(tmp_path, setting):
    path = tmp_path / 'config.py'
    path.write_text(setting)
    with pytest.raises(ValueError, match='cudnn_benchmark|: enable'):
        check_names(Config.fromfile(path))


@pytest.mark.parametrize('settings', ["optimizer=dict(type='SGD', lr=1.0)", 'first=dict(), second=dict()'])
def test_an_optim_wrapper_needs_no_type(tmp_path, settings):
    """Mmengine takes OptimWrapper, or one for each part of a model by the part's name."""
    (tmp_path / 'own.py').write_text(f'optim_wrapper = dict({settings})\n')
    assert check_names(load_config(tmp_path / 'own.py')) == []


@pytest.mark.parametrize('task', ['mixmae', 'classification', 'detection', 'segmentation'])
def test_our_own_configs_set_nothing_in_vain(task):
    for path in sorted((CONFIGS / task).glob('*micro*.py'))[:6]:
        assert check_names(Config.fromfile(path)) == [], path


def test_a_part_of_a_variable_feeds_what_is_made_of_it_and_nothing_else(tmp_path):
    path, settings = tmp_path / 'parts.py', {'model', 'val_cfg'}
    path.write_text("sizes = dict(a=1, b=2)\nmodel = dict(backbone=sizes['a'])\nval_cfg = sizes['b']\n")
    assert fed_by(str(path), 'sizes', settings) == ['model.backbone', 'val_cfg']
    assert fed_by(str(path), 'sizes.a', settings) == ['model.backbone']
