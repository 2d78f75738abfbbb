from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub
from training_toys import run_until, toy_config

from mixmae_mm.engine.hooks import ProgressHook, progress
from mixmae_mm.engine.hooks.progress import count_images


def test_numbers_are_of_all_ranks_and_of_the_last_iterations(monkeypatch):
    now = iter([0.0, 1.0, 4.0, 6.0, 8.0, 9.0, 16.0])  # start, then the end of waiting and of work in turn
    monkeypatch.setattr(progress, 'perf_counter', lambda: next(now))
    hook, runner = ProgressHook(window=2), SimpleNamespace(world_size=4, message_hub=MessageHub.get_instance('speed'))
    hook.before_train_epoch(runner)
    for number in range(3):
        hook.before_train_iter(runner, number)
        hook.after_train_iter(runner, number, data_batch=dict(inputs=[0] * 8))
    scalars = runner.message_hub.log_scalars
    assert scalars['train/images_per_second'].data[0].tolist() == [4 * 8 / 4, 4 * 16 / 8, 4 * 16 / 12]
    assert scalars['train/data_wait'].data[0].tolist() == [1 / 4, 3 / 8, 3 / 12]


def test_log_lines_have_the_numbers(tmp_path):
    config = toy_config(tmp_path, log_level='INFO', train_cfg=dict(by_epoch=True, max_epochs=1))
    config.default_hooks.progress = dict(type='mixmae_mm.ProgressHook')
    run_until(config)
    (log,) = (path.read_text() for path in tmp_path.glob('*/*.log'))
    assert log.count('images_per_second: ') == log.count('data_wait: ') == 5  # the first has no iteration before it


@pytest.mark.parametrize(
    ('batch', 'images'),
    [
        (dict(inputs=torch.zeros(5, 3, 4, 4), data_samples=[None] * 5), 5),
        (dict(inputs=[torch.zeros(3, 4, 4)] * 6, data_samples=None), 6),
        # two views of each of 4 images, as contrastive methods load them
        (dict(inputs=[torch.zeros(4, 3, 2, 2)] * 2, data_samples=[None] * 4), 4),
        ((torch.zeros(7, 3),), 0),
    ],
)
def test_images_are_counted_in_every_kind_of_batch(batch, images):
    assert count_images(batch) == images
