"""Checkpoints that are whole or not there, and old ones that stay until then."""

import uuid
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from mmengine.logging import MessageHub, MMLogger
from training_toys import run_until, toy_config

from mixmae_mm.engine.hooks import AtomicCheckpointHook
from mixmae_mm.utils.safe_io import safe_saving
from mixmae_mm.utils.safe_io.checksum import MARK, checked_write


def names(folder):
    return sorted(path.name for path in folder.glob('*.pth*'))


@pytest.mark.parametrize('keep', [1, 2])
def test_the_oldest_goes_after_the_newest_has_come(tmp_path, monkeypatch, keep):
    seen = []

    @contextmanager
    def recorded_write(path):
        with checked_write(path) as file:
            yield file
        seen.append(names(tmp_path))

    monkeypatch.setattr(safe_saving, 'checked_write', recorded_write)
    config = toy_config(tmp_path)
    config.default_hooks.checkpoint = dict(type='mixmae_mm.AtomicCheckpointHook', interval=1, max_keep_ckpts=keep)
    run_until(config, 15)
    run_until(config, resume=True)
    assert len(seen) == 4
    for epoch, there in enumerate(seen, start=1):
        assert there == [f'epoch_{number}.pth' for number in range(max(1, epoch - keep), epoch + 1)]
    assert names(tmp_path) == [f'epoch_{number}.pth' for number in range(5 - keep, 5)]


@pytest.mark.parametrize('backend_args', [None, {}, dict(backend='local'), dict(backend='http')])
def test_files_of_other_backends_are_left_to_mmengine(tmp_path, monkeypatch, backend_args):
    written = []
    monkeypatch.setattr(safe_saving, 'SAVE_OF_MMENGINE', lambda *given: written.append(given[1]))
    path, elsewhere = str(tmp_path / 'epoch_1.pth'), backend_args == dict(backend='http')
    safe_saving.save_checkpoint(dict(weight=1), path, backend_args=backend_args)
    safe_saving.save_checkpoint(dict(weight=1), 's3://bucket/epoch_1.pth')
    assert written == [path] * elsewhere + ['s3://bucket/epoch_1.pth']
    assert names(tmp_path) == ['epoch_1.pth'] * (not elsewhere)


def test_a_run_writes_to_a_folder_of_its_own(tmp_path):
    config = toy_config(tmp_path)
    config.default_hooks.checkpoint = dict(type='mixmae_mm.AtomicCheckpointHook', interval=4, out_dir=f'{tmp_path}/out')
    run_until(config)
    (file,) = (tmp_path / 'out').glob('*/epoch_4.pth')
    assert MARK in file.read_bytes()


def begin(hook, folder, **infos):
    """Begin a run in a folder, resumed from a checkpoint with these in its message hub."""
    hub = MessageHub.get_instance(uuid.uuid4().hex)
    for name, value in infos.items():
        hub.update_info(name, value)
    logger = MMLogger.get_current_instance()
    hook.before_train(SimpleNamespace(work_dir=str(folder), logger=logger, message_hub=hub))


@pytest.mark.parametrize('save_best', [['top1'], ['top1', 'top5']])
@pytest.mark.parametrize(
    ('named', 'is_own'),
    [
        ('best_top1_epoch_3.pth', True),
        ('link/best_top1_epoch_3.pth', True),
        ('../best_top1_epoch_3.pth', False),
        ('vis_data', False),
        ('..', False),
    ],
)
def test_a_checkpoint_names_no_file_elsewhere_to_be_removed(tmp_path, save_best, named, is_own):
    """mmengine removes the file or folder that the checkpoint resumed from calls the best, once there is a better."""
    (tmp_path / 'link').symlink_to(tmp_path)
    named = str(tmp_path / named)
    hook = AtomicCheckpointHook(save_best=save_best, rule='greater')
    begin(hook, tmp_path, **dict.fromkeys(('best_ckpt', 'best_ckpt_top1', 'best_ckpt_top5'), named))
    kept = [hook.best_ckpt_path] if len(save_best) == 1 else [*hook.best_ckpt_path_dict.values()]
    assert kept == [named if is_own else None] * len(save_best)


@pytest.mark.parametrize('steps', [['1.pth/../../other'], [1, '1.pth/../../other'], [1, 2]])
def test_a_checkpoint_names_no_step_that_is_a_path(tmp_path, steps):
    """mmengine removes the checkpoints of all steps but the last few that the one resumed from lists."""
    (tmp_path / 'run/epoch_1.pth').mkdir(parents=True)
    (tmp_path / 'other.pth').touch()
    hook = AtomicCheckpointHook(max_keep_ckpts=1)
    begin(hook, tmp_path / 'run', keep_ckpt_ids=[*steps, 3])
    assert (tmp_path / 'other.pth').exists()
    assert list(hook.keep_ckpt_ids) == ([3] if steps == [1, 2] else [])
    assert (tmp_path / 'run/epoch_1.pth').exists() == (steps != [1, 2])
