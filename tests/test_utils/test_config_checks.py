"""Settings that exclude or outlast each other are resolved or refused, with both names and numbers."""

import pytest
from mmengine.config import Config

from mixmae_mm.utils.config_checks import check_schedule, settle_loaders


def settled(**loader):
    config = Config(dict(train_dataloader=dict(loader), val_dataloader=dict(loader), test_dataloader=None))
    settle_loaders(config)
    assert config.train_dataloader == config.val_dataloader
    return config.train_dataloader.to_dict()


def test_loading_in_the_main_process_leaves_out_what_is_for_workers():
    of_workers = dict(persistent_workers=True, prefetch_factor=4, timeout=9, multiprocessing_context='spawn')
    assert settled(batch_size=4, num_workers=0, **of_workers) == dict(batch_size=4, num_workers=0)
    assert settled(batch_size=4, **of_workers) == dict(batch_size=4)
    assert settled(num_workers=1, **of_workers) == dict(num_workers=1, **of_workers)


@pytest.mark.parametrize(
    ('loader', 'both'),
    [
        (dict(shuffle=True, sampler=dict(type='X')), ('_dataloader.shuffle', '_dataloader.sampler.shuffle')),
        (dict(drop_last=True, batch_sampler=dict(type='X')), ('_dataloader.drop_last', '.batch_sampler.drop_last')),
    ],
)
def test_what_belongs_to_the_sampler_is_refused(loader, both):
    with pytest.raises(ValueError, match='exclude') as refused:
        settled(**loader)
    assert all(name in str(refused.value) for name in both)
    assert settled(**{name: value for name, value in loader.items() if value is not True})


WARM_UP = dict(type='LinearLR', end=8, convert_to_iter_based=True)
COSINE = dict(type='CosineAnnealingLR', begin=8, convert_to_iter_based=True)
BY_ITERATION = [dict(type='LinearLR', by_epoch=False, end=100), dict(type='PolyLR', by_epoch=False, begin=100)]


def check(loop, schedulers, epoch_length=None, **settings):
    return check_schedule(Config(dict(train_cfg=loop, param_scheduler=schedulers, **settings)), epoch_length)


@pytest.mark.parametrize('epochs', [1, 3, 8])
def test_a_warm_up_longer_than_training_is_refused_and_what_is_advised_passes(epochs):
    with pytest.raises(ValueError, match='8 epochs') as refused:
        check(dict(by_epoch=True, max_epochs=epochs), [WARM_UP, COSINE])
    named = ('train_cfg.max_epochs', f'{epochs} epochs', 'param_scheduler.0.end=', 'param_scheduler.1.begin=')
    assert all(name in str(refused.value) for name in named)
    half = epochs // 2 or epochs / 2
    assert check(dict(max_epochs=epochs), [dict(WARM_UP, end=half), dict(COSINE, begin=half)]) == []
    assert check(dict(max_epochs=9), [WARM_UP, COSINE]) == []


def test_a_warm_up_longer_than_training_is_refused_in_iterations():
    with pytest.raises(ValueError, match=r'100 iterations.*60 .*train_cfg\.max_iters'):
        check(dict(type='IterBasedTrainLoop', max_iters=60), BY_ITERATION)
    assert check(dict(max_epochs=3), BY_ITERATION) == []
    with pytest.raises(ValueError, match='60 iterations'):  # 3 epochs of 20
        check(dict(max_epochs=3), BY_ITERATION, 20)
    assert check(dict(max_epochs=3), BY_ITERATION, 40) == []


def test_a_schedule_without_a_step_is_refused():
    for end, length, said in ((0, None, 'from 0 to 0:'), (0.5, 1, 'from 0 to 0.5, less than one of the 1 iterations')):
        schedulers = [dict(WARM_UP, end=end), dict(COSINE, begin=end)]
        with pytest.raises(ValueError, match=rf'param_scheduler\.0 \(LinearLR\) lasts {said}') as refused:
            check(dict(max_epochs=3), schedulers, length)
        assert str(refused.value).endswith('(for no warm-up, param_scheduler.0.end=1 param_scheduler.0.start_factor=1)')
    assert check(dict(max_epochs=3), [dict(WARM_UP, end=0.5), dict(COSINE, begin=0.5)], 2) == []
    with pytest.raises(ValueError, match=r'param_scheduler\.0 \(StepLR\) lasts from 5 to 4: let it end later$'):
        check(dict(max_epochs=9), [dict(type='StepLR', step_size=1, begin=5, end=4)])


@pytest.mark.parametrize(
    'scheduler',
    [
        dict(type='MultiStepLR', milestones=[2, 11]),
        dict(type='CosineAnnealingLR', T_max=11),
        dict(type='CosineAnnealingLR', begin=1, T_max=10),
        dict(type='LinearLR', end=11),
    ],
)
def test_a_schedule_that_outlasts_training_is_warned_of(scheduler):
    (warning,) = check(dict(max_epochs=10), [scheduler])
    assert all(part in warning for part in ('param_scheduler.0', 'epoch 11', '10 epochs', 'train_cfg.max_epochs'))
    assert check(dict(max_epochs=11), [scheduler]) == []
    (warning,) = check(dict(max_epochs=10), scheduler)
    assert 'param_scheduler (' in warning


def test_schedules_in_epochs_are_refused_where_training_counts_iterations():
    loop, steps = dict(by_epoch=False, max_iters=1000), dict(type='MultiStepLR', milestones=[8])
    for schedule in (steps, COSINE):  # converted from epochs, but without an end
        with pytest.raises(ValueError, match=r'param_scheduler.0 .*max_iters=1000.*param_scheduler.0.by_epoch=False'):
            check(loop, [schedule])
    assert check(loop, [dict(steps, by_epoch=False), dict(COSINE, end=20)]) == []


def test_hooks_that_never_come_to_pass_are_warned_of():
    loop, validation = dict(by_epoch=False, max_iters=1000), dict(batch_size=1)
    (warning,) = check(loop, [], default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)))
    assert 'default_hooks.checkpoint.by_epoch=False' in warning
    assert check(loop, [], default_hooks=dict(checkpoint=dict(by_epoch=False))) == []
    best = dict(checkpoint=dict(save_best='auto'))
    (warning,) = check(dict(max_epochs=3), [], default_hooks=best)
    assert 'val_dataloader' in warning
    assert check(dict(max_epochs=3), [], default_hooks=best, val_dataloader=validation) == []
    (warning,) = check(dict(max_epochs=3, val_begin=4), [], val_dataloader=validation)
    assert all(part in warning for part in ('val_begin=4', '3 epochs'))


def test_configs_without_schedule_or_with_loops_of_others_pass_and_a_training_of_nothing_is_refused():
    assert check_schedule(Config({})) == []
    assert check(dict(type='SomeLoop', length=3), [WARM_UP]) == []
    assert check(dict(max_epochs=3), dict(generator=[COSINE], critic=[COSINE])) == []
    for loop in (dict(max_epochs=0), dict(max_iters=-1), dict(max_epochs=3, val_interval=0)):
        name, value = list(loop.items())[-1]
        with pytest.raises(ValueError, match=f'train_cfg.{name}={value}: set 1 or more'):
            check(loop, [])
