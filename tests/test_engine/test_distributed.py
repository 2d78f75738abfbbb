"""Two processes on the CPU train one model on different images with different assignments."""

import pytest
import torch
from micro_training import IMAGES, finish, in_two, make_config
from mmengine.config import Config

from mixmae_mm.registry import MODELS

pytestmark = pytest.mark.slow

EPOCHS, ITERATIONS = 3, 2  # of 2 processes x 8 images


@pytest.fixture(scope='module')
def ranks(tmp_path_factory):
    """Train in two processes from stored weights; what each rank recorded, printed, those weights, and the log."""
    folder = tmp_path_factory.mktemp('distributed')
    config = make_config(folder)
    config.write_text(config.read_text().replace("dict(type='SignalHook', after=None)", "dict(type='RecordHook')"))
    stored = MODELS.build(Config.fromfile(config).model.backbone).state_dict()
    torch.save(stored, folder / 'encoder.pth')
    work_dir = folder / 'work'
    options = [f'model.backbone.init_cfg.{pair}' for pair in ('type=Pretrained', f'checkpoint={folder}/encoder.pth')]
    processes = in_two('train.py', config, '--work-dir', work_dir, '--cfg-options', *options)
    printed = [out for out, _ in map(finish, processes)]
    (log,) = work_dir.glob('*/*.log')
    records = [torch.load(work_dir / f'rank{rank}.pt', weights_only=False) for rank in (0, 1)]
    return records, printed, stored, log.read_text()


def test_both_begin_with_the_weights_of_the_file_and_end_equal(ranks):
    (one, two), _, stored, log = ranks
    for record in (one, two):
        assert record['begun'].keys() == stored.keys()
        assert all(torch.equal(value, stored[name]) for name, value in record['begun'].items())
    assert log.count('100.0% of the parameters') == 1
    assert all(torch.equal(value, two['weights'][name]) for name, value in one['weights'].items())


def test_the_images_of_each_epoch_are_split_among_the_ranks(ranks):
    (one, two), *_ = ranks
    for epoch in range(EPOCHS):
        steps = slice(epoch * ITERATIONS, (epoch + 1) * ITERATIONS)
        seen = [{name for batch in rank['images'][steps] for name in batch} for rank in (one, two)]
        assert [len(names) for names in seen] == [IMAGES // 2, IMAGES // 2]
        assert len(seen[0] | seen[1]) == IMAGES


def test_ranks_draw_assignments_of_their_own(ranks):
    (one, two), *_ = ranks
    # Of 2 x 2 cells there are 6 assignments with equal shares: six draws agree by chance once in 46,656.
    pairs = zip(one['assignments'], two['assignments'], strict=True)
    assert not all(torch.equal(*pair) for pair in pairs)
    assert len({tuple(draw.flatten().tolist()) for draw in one['assignments']}) > 1


def test_one_rank_prints_and_logs(ranks):
    _, (first, second), _, log = ranks
    assert second == ''
    assert first.count('100.0% of the parameters') == 1
    assert f'training  {IMAGES} images, {EPOCHS} epoch(s) of {ITERATIONS} iterations, on 2 x cpu in float32' in first
    steps = [line.split('  ')[0] for line in first.splitlines() if line.startswith('epoch ')]
    assert (steps[0], steps[-1]) == ('epoch 1/3 [1/2]', 'epoch 3/3 [2/2]')
    lines = [line for line in log.splitlines() if 'images_per_second' in line]
    assert len(lines) == EPOCHS * ITERATIONS - 1  # the first line has no iteration before it
