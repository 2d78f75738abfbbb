"""What a run skipped is run again from its files alone."""

import shutil

import pytest
import torch
from fragile_toys import fragile_config
from mmengine.registry import DATASETS
from tiny_mixmae import tiny_model
from tool_loading import load_tool
from training_toys import ToyImages, run_until

FOUND = 'first module with a non-finite output: '


@DATASETS.register_module()
class HugeImages(ToyImages):
    """Images of 32 px, of which the eighth is as good as infinite."""

    def prepare_data(self, idx):
        image = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(int(idx)))
        return dict(inputs=image * (3e38 if idx == 7 else 255))


@pytest.fixture(scope='module')
def event(tmp_path_factory):
    """A skipped step of MixMAE on images one of which is as good as infinite."""
    folder = tmp_path_factory.mktemp('fragile')
    config = fragile_config(folder, model=tiny_model(), train_cfg=dict(by_epoch=True, max_epochs=1))
    config.train_dataloader.dataset = dict(type='HugeImages', pipeline=[])
    run_until(config)
    (event,) = (folder / 'nonfinite').iterdir()
    return event


def replay(*arguments):
    load_tool('analysis_tools/replay_nonfinite.py').main([*map(str, arguments), '--device', 'cpu'])


def test_the_same_is_found_again_in_the_numbers(event, tmp_path, capsys):
    replay(event)
    first, then, now = capsys.readouterr().out.splitlines()[-3:]
    assert first.startswith(f'iteration {event.name.removeprefix("iter_")}, rank 0: loss ')
    assert then.startswith(f'then: {FOUND}')
    assert now == then.replace('then: ', 'now:  ')
    shutil.copytree(event, tmp_path / 'fixed')
    content = torch.load(tmp_path / 'fixed/rank_0.pth', weights_only=False)
    content['batch']['inputs'] = [torch.ones_like(image) for image in content['batch']['inputs']]
    torch.save(content, tmp_path / 'fixed/rank_0.pth')
    replay(tmp_path / 'fixed')
    assert capsys.readouterr().out.splitlines()[-1] == 'now:  nothing non-finite when it was run again'


class Attack:
    def __reduce__(self):
        return exec, ('raise SystemExit("code was run")',)


@pytest.mark.parametrize(
    ('file', 'content', 'said'),
    [
        ('rank_0.pth', dict(batch=Attack()), 'rank_0.pth is not what NanGuardHook wrote, or was damaged: '),
        ('rank_1.pth', {}, 'rank_1.pth is not what NanGuardHook wrote, or was damaged: '),
        ('weights.pth', dict(state_dict={'x': torch.ones(1)}), 'the weights do not match the config beside them'),
    ],
)
def test_foreign_files_are_refused_and_run_no_code(event, tmp_path, file, content, said):
    shutil.copytree(event, tmp_path / 'foreign')
    torch.save(content, tmp_path / 'foreign' / file)
    with pytest.raises(SystemExit, match=said):
        replay(tmp_path / 'foreign', '--rank', int(file == 'rank_1.pth'))


def test_a_rank_that_is_not_there(event):
    with pytest.raises(SystemExit, match=r"rank_3.pth: name a folder .*\['rank_0.pth'\]"):
        replay(event, '--rank', 3)
