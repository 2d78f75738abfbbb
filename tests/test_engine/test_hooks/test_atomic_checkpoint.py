"""Checkpoints that are whole or not there, and old ones that stay until then."""

import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.logging import MessageHub, MMLogger
from mmengine.runner import Runner
from training_toys import last_checkpoint, run_until, toy_config

from mixmae_mm.engine.hooks import AtomicBackend, AtomicCheckpointHook


def names(folder):
    return sorted(path.name for path in folder.glob('*.pth*'))


def config_with(folder, **settings):
    config = toy_config(folder)
    config.default_hooks.checkpoint = dict(type='mixmae_mm.AtomicCheckpointHook', interval=1, **settings)
    return config


def test_checkpoints_are_written_by_the_backend(tmp_path, monkeypatch):
    written = []
    put = AtomicBackend.put
    monkeypatch.setattr(AtomicBackend, 'put', lambda self, obj, path: written.append(path) or put(self, obj, path))
    run_until(config_with(tmp_path))
    last = last_checkpoint(tmp_path)['meta']['epoch']
    assert written == [str(tmp_path / f'epoch_{epoch}.pth') for epoch in range(1, last + 1)]


@pytest.mark.parametrize('keep', [1, 2])
def test_the_oldest_goes_after_the_newest_has_come(tmp_path, monkeypatch, keep):
    seen = []
    put = AtomicBackend.put

    def watch(self, obj, path):
        put(self, obj, path)
        seen.append(names(tmp_path))

    monkeypatch.setattr(AtomicBackend, 'put', watch)
    run_until(config_with(tmp_path, max_keep_ckpts=keep))
    epochs = len(seen)
    for epoch, there in enumerate(seen, start=1):
        assert there == sorted(f'epoch_{number}.pth' for number in range(max(1, epoch - keep), epoch + 1))
    assert names(tmp_path) == [f'epoch_{number}.pth' for number in range(epochs - keep + 1, epochs + 1)]


def test_a_resumed_run_continues_removing(tmp_path):
    run_until(config_with(tmp_path, max_keep_ckpts=2), 15)
    before = names(tmp_path)
    assert len(before) == 2
    run_until(config_with(tmp_path, max_keep_ckpts=2), resume=True)
    assert len(names(tmp_path)) == 2
    assert not set(before) & set(names(tmp_path)[-1:])


@pytest.mark.parametrize('keep', [1, 2])
def test_checkpoints_that_are_folders_are_removed_too(tmp_path, monkeypatch, keep):
    """As DeepSpeed's are, and whatever stands in them."""

    def save(runner, out_dir, filename, *args, **kwargs):
        (Path(out_dir, filename) / 'inside').mkdir(parents=True)
        (Path(out_dir, filename) / 'inside/weights.pt').touch()

    monkeypatch.setattr(Runner, 'save_checkpoint', save)
    run_until(config_with(tmp_path, max_keep_ckpts=keep))
    assert names(tmp_path) == [f'epoch_{epoch}.pth' for epoch in range(5 - keep, 5)]
    assert all((tmp_path / name / 'inside/weights.pt').is_file() for name in names(tmp_path))


def test_files_elsewhere_are_left_to_mmengine():
    assert AtomicCheckpointHook(out_dir='s3://bucket/folder').backend_args is None
    assert AtomicCheckpointHook(backend_args=dict(backend='local')).backend_args == dict(backend='local')
    backend = get_file_backend('folder', backend_args=AtomicCheckpointHook(out_dir='folder').backend_args)
    assert isinstance(backend, AtomicBackend)
    assert isinstance(backend, LocalBackend)


@pytest.mark.parametrize('save_best', [['top1'], ['top1', 'top5']])
def test_a_checkpoint_names_no_file_elsewhere_to_be_removed(tmp_path, save_best):
    """mmengine removes the file or folder that the checkpoint resumed from calls the best, once there is a better."""
    (tmp_path / 'link').symlink_to(tmp_path)
    names = {
        str(tmp_path / 'best_top1_epoch_3.pth'): True,
        str(tmp_path / 'link/best_top1_epoch_3.pth'): True,
        str(tmp_path.parent / 'best_top1_epoch_3.pth'): False,
        str(tmp_path / 'vis_data'): False,
        str(tmp_path / '..'): False,
    }
    for named, is_own in names.items():
        hub = MessageHub.get_instance(uuid.uuid4().hex)
        for name in ('best_ckpt', 'best_ckpt_top1', 'best_ckpt_top5'):
            hub.update_info(name, named)
        hook = AtomicCheckpointHook(save_best=save_best, rule='greater')
        logger = MMLogger.get_current_instance()
        hook.before_train(SimpleNamespace(work_dir=str(tmp_path), logger=logger, message_hub=hub))
        kept = [hook.best_ckpt_path] if len(save_best) == 1 else [*hook.best_ckpt_path_dict.values()]
        assert kept == [named if is_own else None] * len(save_best)


@pytest.mark.parametrize('steps', [['1.pth/../../other'], [1, '1.pth/../../other'], [1, 2]])
def test_a_checkpoint_names_no_step_that_is_a_path(tmp_path, steps):
    """mmengine removes the checkpoints of all steps but the last few that the one resumed from lists."""
    (tmp_path / 'run/epoch_1.pth').mkdir(parents=True)  # as DeepSpeed's are
    (tmp_path / 'other.pth').touch()
    hub = MessageHub.get_instance(uuid.uuid4().hex)
    hub.update_info('keep_ckpt_ids', [*steps, 3])
    hook = AtomicCheckpointHook(max_keep_ckpts=1)
    logger = MMLogger.get_current_instance()
    hook.before_train(SimpleNamespace(work_dir=str(tmp_path / 'run'), logger=logger, message_hub=hub))
    assert (tmp_path / 'other.pth').exists()
    assert list(hook.keep_ckpt_ids) == ([3] if steps == [1, 2] else [])
    assert (tmp_path / 'run/epoch_1.pth').exists() == (steps != [1, 2])
