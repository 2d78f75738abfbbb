"""An interrupted and resumed run ends exactly where an uninterrupted one ends."""

import pytest
from micro_training import finish, make_config, tool
from training_toys import TRAINED, last_checkpoint, run_until, toy_config, trained_alike

ALIKE = dict.fromkeys(TRAINED, True)
LOADERS = [dict(num_workers=0), dict(num_workers=2, persistent_workers=True)]
EPOCHS, ITERATIONS = True, False


def train(folder, interrupt_after=None, loader=None, **settings):
    """Train, with an interruption and a second start if asked for; the last checkpoint."""
    config = toy_config(folder, **settings)
    config.train_dataloader.update(loader or {})
    run_until(config, interrupt_after)
    if interrupt_after:
        run_until(config, resume=True)
    return last_checkpoint(folder)


@pytest.fixture(scope='module')
def straight(tmp_path_factory):
    """Trained without an interruption, in one process."""
    return {by_epoch: train(tmp_path_factory.mktemp('straight'), by_epoch=by_epoch) for by_epoch in (True, False)}


@pytest.mark.parametrize('loader', LOADERS)
def test_epochs_resumed_at_their_boundary_end_alike(tmp_path, straight, loader):
    # Interrupted in the third epoch: its 3 iterations are lost and done again.
    resumed = train(tmp_path, 15, loader)
    assert straight[EPOCHS]['meta']['iter'] == resumed['meta']['iter'] == 24
    assert trained_alike(straight[EPOCHS], resumed) == ALIKE


@pytest.mark.parametrize('loader', [dict(num_workers=0), dict(num_workers=2)])
def test_iterations_resumed_in_mid_epoch_end_alike(tmp_path, straight, loader):
    # 6 iterations see every image once: the checkpoint of iteration 10 lies in the second round.
    resumed = train(tmp_path, 13, loader, by_epoch=False)
    assert straight[ITERATIONS]['meta']['iter'] == resumed['meta']['iter'] == 24
    assert trained_alike(straight[ITERATIONS], resumed) == ALIKE


@pytest.mark.parametrize('missing', ['seed_sample', 'iteration_seed'])
def test_without_either_kind_of_seeding_the_weights_differ(tmp_path, missing):
    # Workers that live on are what a resumed run cannot have; others are seeded alike every epoch (see below).
    settings = dict(loader=LOADERS[1], **{missing: False})
    uninterrupted, resumed = (train(tmp_path / str(stop), stop, **settings) for stop in (None, 15))
    assert trained_alike(uninterrupted, resumed) == dict(state_dict=False, optimizer=False, param_schedulers=True)


@pytest.mark.parametrize(('seed_sample', 'repeated'), [(True, 0), (False, 24)])
def test_workers_repeat_their_draws_every_epoch_unless_samples_are_seeded(tmp_path, seed_sample, repeated):
    config = toy_config(tmp_path, num_workers=2, seed_sample=seed_sample, train_cfg=dict(by_epoch=True, max_epochs=1))
    loader, epochs = run_until(config).train_dataloader, []
    for epoch in (1, 2):
        loader.sampler.set_epoch(epoch)
        epochs.append([batch['draws'] for batch in loader])
    equal = [(one == other).all(1).sum().item() for one, other in zip(*epochs, strict=True)]
    assert sum(equal) == repeated


def test_accumulated_gradients_end_alike_at_the_boundary_of_a_step(tmp_path):
    wrapper = dict(type='OptimWrapper', accumulative_counts=5, optimizer=dict(type='AdamW', lr=0.01))
    straight, resumed = (
        train(tmp_path / str(stop), stop, by_epoch=False, optim_wrapper=wrapper) for stop in (None, 13)
    )
    assert trained_alike(straight, resumed) == ALIKE


@pytest.mark.slow
def test_mixmae_interrupted_and_resumed_ends_alike(tmp_path):
    config = make_config(tmp_path, by_epoch=False)
    straight = tool('train.py', config, '--work-dir', tmp_path / 'straight')
    here = ['--work-dir', tmp_path / 'resumed']
    interruption = ['--cfg-options', 'custom_hooks.0.after=8', 'custom_hooks.0.name=SIGINT']
    said = finish(tool('train.py', config, *here, *interruption), 130)
    assert 'interrupted. The same command with --resume' in said[1]
    said = finish(tool('train.py', config, *here, '--resume'))
    assert f'Load checkpoint from {tmp_path / "resumed/iter_5.pth"}' in said[0]
    finish(straight)
    straight, resumed = (last_checkpoint(tmp_path / name) for name in ('straight', 'resumed'))
    assert straight['meta']['iter'] == resumed['meta']['iter'] == 12
    assert trained_alike(straight, resumed) == ALIKE
