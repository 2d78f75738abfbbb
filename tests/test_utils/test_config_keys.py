"""Settings that nothing reads are refused, with the nearest that something reads, or with what is meant."""

from pathlib import Path

import pytest
from mmengine.config import Config

from mixmae_mm.utils.config_keys import check_names, check_options
from mixmae_mm.utils.launching import load_config

CONFIGS = Path(__file__).parents[2] / 'configs'
MICRO = CONFIGS / 'mixmae/mixmae_mixmim-swin-micro_1xb64-coslr-40e_materials-64px.py'
CLASSIFIER = CONFIGS / 'classification/mixmim-swin-micro-scratch_1xb64-coslr-10e_materials-64px.py'


@pytest.mark.parametrize(
    ('key', 'near'),
    [
        ('train_dataloder.batch_size', 'train_dataloader'),
        ('train_dataloader.batchsize', 'batch_size'),
        ('train_dataloader.sampler.shufle', 'shuffle'),
        ('model.backbone.in_chanels', 'in_channels'),
        ('optim_wrapper.clip_gard.max_norm', 'clip_grad'),
        ('optim_wrapper.optimizer.weight_deacy', 'weight_decay'),
        ('train_cfg.max_epoch', 'max_epochs'),
        ('default_hooks.checkpoint.max_keep_ckpt', 'max_keep_ckpts'),
        ('param_scheduler.0.ends', 'end'),
        ('env_cfg.cudnn_benchmrk', 'cudnn_benchmark'),
        ('randomness.sed', 'seed'),
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


def test_a_type_given_beside_its_settings_is_known_and_a_misspelt_one_refused():
    with pytest.raises(ValueError, match='no optimizer AdamWW; did you mean AdamW'):
        check_names(load_config(CLASSIFIER, {'optim_wrapper.optimizer.type': 'AdamWW'}))
    options = {'optim_wrapper.optimizer.momentum': '0.9', 'optim_wrapper.optimizer.type': 'SGD'}
    optimizer = load_config(MICRO, options | {'optim_wrapper.optimizer.betas': 'None'}).optim_wrapper.optimizer
    assert (optimizer.type, optimizer.momentum) == ('SGD', 0.9)
    with pytest.raises(ValueError, match='momentum'):
        load_config(MICRO, {'optim_wrapper.optimizer.momentum': '0.9'})


@pytest.mark.parametrize(
    ('config', 'key', 'meant'),
    [
        (MICRO, 'batch_size', 'train_dataloader.batch_size=...'),
        (MICRO, 'data_root', 'train_dataloader.dataset.data_root=...'),  # not even a variable of this one
        (MICRO, 'train_pipeline.0.type', 'Set that'),
        (CLASSIFIER, 'data_root', 'val_dataloader.dataset.data_root=...'),
        (CLASSIFIER, 'warmup_epochs', 'Set that'),
    ],
)
def test_a_variable_is_refused_with_the_settings_of_its_name(tmp_path, config, key, meant):
    Config.fromfile(config).dump(tmp_path / 'dumped.py')
    for file in (config, tmp_path / 'dumped.py'):
        with pytest.raises(ValueError, match=f'{key} has no effect here') as refused:
            load_config(file, {key: '8'})
        assert meant in str(refused.value)


@pytest.mark.parametrize(
    ('name', 'near'),
    [
        *(('optim_wraper', 'optim_wrapper'), ('param_schedulers', 'param_scheduler'), ('randomnes', 'randomness')),
        *(('optimizer', 'optim_wrapper.optimizer'), ('lr_config', 'param_scheduler')),
    ],
)
def test_a_misspelt_or_old_key_of_a_file_that_inherits_the_right_one_is_warned_of(tmp_path, name, near):
    (tmp_path / 'own.py').write_text(f'_base_ = {str(MICRO)!r}\n{name} = dict(lr=3)\n')
    (warning,) = check_names(Config.fromfile(tmp_path / 'own.py'))
    assert f'nothing reads {name} of ' in warning
    assert warning.endswith(f'own.py: write {near}')


def test_a_hook_without_type_that_resembles_no_other_is_refused(tmp_path):
    (tmp_path / 'own.py').write_text('default_hooks = dict(mine=dict(interval=1))\n')
    with pytest.raises(ValueError, match=r'^default_hooks\.mine has no type; name the class of the hook$'):
        check_names(Config.fromfile(tmp_path / 'own.py'))


def test_a_variable_that_became_the_optimizer_is_not_warned_of(tmp_path):
    optimizer = "optimizer = dict(type='SGD', lr=1.0)\noptim_wrapper = dict(optimizer=optimizer)\n"
    (tmp_path / 'own.py').write_text(optimizer)
    assert check_names(Config.fromfile(tmp_path / 'own.py')) == []
    with pytest.raises(ValueError, match=r'such as optim_wrapper\.optimizer=\.\.\.'):
        load_config(tmp_path / 'own.py', {'optimizer.lr': '3'})


def test_what_only_code_of_your_own_can_read_and_near_misses_are_warned_of(tmp_path):
    (tmp_path / 'own.py').write_text('own = dict(x=1)\ntrain_dataloder = dict(batch_size=2)\nhelper = 3\n')
    config = Config.fromfile(tmp_path / 'own.py')
    assert check_options(config, ['own.x']) == ['own.x is set, but only your own code can read own']
    (warning,) = check_names(config)
    assert 'nothing reads train_dataloder' in warning
    assert warning.endswith(': write train_dataloader')


@pytest.mark.parametrize(
    ('setting', 'near'),
    [
        ('env_cfg = dict(cudnn_benchmrk=1)', 'cudnn_benchmark'),
        ('auto_scale_lr = dict(enabled=True)', 'enable'),
        ('train_cfg = dict(max_epochs=3, max_iters=7)', 'max_epochs'),
        ('train_cfg = dict(by_epoch=False, max_epochs=7)', 'by_epoch'),
        ('optim_wrapper = dict(clip_grad=dict(max_nrom=1.0))', 'max_norm'),
        ("default_hooks = dict(logger=dict(type='LoggerHook'), loger=dict(interval=1))", 'logger'),
    ],
)
def test_what_mmengine_does_not_read_is_refused_in_a_file(tmp_path, setting, near):
    path = tmp_path / 'config.py'
    path.write_text(setting)
    with pytest.raises(ValueError, match=rf'did you mean {near}\?$'):
        check_names(Config.fromfile(path))


@pytest.mark.parametrize('settings', ["optimizer=dict(type='SGD', lr=1.0)", 'first=dict(), second=dict()', "type='X'"])
def test_an_optim_wrapper_needs_no_type_and_an_unknown_one_is_left_to_mmengine(tmp_path, settings):
    """Mmengine takes OptimWrapper, or one for each part of a model by the part's name."""
    (tmp_path / 'own.py').write_text(f'optim_wrapper = dict({settings})\n')
    assert check_names(load_config(tmp_path / 'own.py')) == []


def test_our_own_configs_set_nothing_in_vain():
    for path in sorted(CONFIGS.glob('*/*micro*.py')):
        assert check_names(Config.fromfile(path)) == [], path
