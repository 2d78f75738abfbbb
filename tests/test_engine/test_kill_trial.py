"""A training that is killed, asked to stop and damaged at random times ends like an undisturbed one.

`EVENTS` is the number of each (default 1), `SEED` seeds their order and times: EVENTS=20 python -m pytest ...
"""

import os
import random
import signal
import time

import pytest
import torch
from micro_training import finish, make_config, tool
from training_toys import TRAINED, last_checkpoint, trained_alike

from mixmae_mm.engine.hooks.preemption import PREEMPTED

EVENTS, SEED = int(os.environ.get('EVENTS', 1)), int(os.environ.get('SEED', 0))
EPOCH = 8
"""Iterations."""


def iterations(folder):
    """Count the logged iterations, including those that were lost and repeated."""
    return sum(len(log.read_text().splitlines()) for log in folder.rglob('vis_data/scalars.json'))


def start(config, folder, draw):
    """Start or resume the training, and wait for some iterations; after the first start, for two checkpoints."""
    before = iterations(folder) if folder.exists() else 2 * EPOCH
    process = tool('train.py', config, '--work-dir', folder, '--resume')
    wanted, deadline = before + draw.randint(EPOCH // 2, 2 * EPOCH), time.monotonic() + 100
    while iterations(folder) < wanted and time.monotonic() < deadline:
        assert process.returncode is None, finish(process)
        time.sleep(0.005)
    assert iterations(folder) >= wanted
    time.sleep(draw.uniform(0, 0.1))
    return process


def flip(path, draw):
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


@pytest.mark.slow
def test_killed_stopped_and_damaged_it_ends_alike(tmp_path):
    draw, events = random.Random(SEED), ['SIGKILL', 'SIGTERM', 'damage'] * EVENTS
    draw.shuffle(events)
    config = make_config(tmp_path)
    epochs = 2 + 2 * len(events)  # more than can be trained up to the last event
    text = config.read_text() + f"train_dataloader['batch_size'] = {32 // EPOCH}\ntrain_cfg['max_epochs'] = {epochs}\n"
    config.write_text(text.replace('T_max=12', f'T_max={epochs * EPOCH}'))
    finish(tool('train.py', config, '--work-dir', tmp_path / 'straight'), timeout=120 * EVENTS)
    folder = tmp_path / 'ended'
    for event in events:
        process = start(config, folder, draw)
        os.kill(process.process.pid, signal.SIGTERM if event == 'SIGTERM' else signal.SIGKILL)
        out, _ = finish(process, PREEMPTED if event == 'SIGTERM' else -signal.SIGKILL)
        named = (folder / 'last_checkpoint').read_text()  # mmengine may be killed before it has written it
        newest = folder / named if named else max(folder.glob('*.pth'), key=lambda path: path.stat().st_mtime)
        reached = torch.load(newest, weights_only=False)['meta']['iter']
        if event == 'SIGTERM':
            assert newest.name == 'latest.pth'
            assert f'wrote latest.pth after iteration {reached}' in out
        if event == 'damage':
            flip(newest, draw)
    said = finish(tool('train.py', config, '--work-dir', folder, '--resume'), timeout=120 * EVENTS)
    ended = [last_checkpoint(tmp_path / name) for name in ('straight', 'ended')]
    assert [end['meta']['iter'] for end in ended] == [epochs * EPOCH] * 2
    assert trained_alike(*ended) == dict.fromkeys(TRAINED, True), said
