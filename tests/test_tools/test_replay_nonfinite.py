"""What a run skipped is run again from its files alone."""

import shutil

import pytest
import torch
from fragile_toys import fragile_config
from mmengine.config import Config
from mmengine.registry import DATASETS
from tiny_mixmae import tiny_model
from tool_loading import load_tool
from training_toys import ToyImages, run_until

FOUND = 'first module with a non-finite output: '


@pytest.fixture(scope='module')
def event(tmp_path_factory):
    """A skipped step of the toy model."""
    folder = tmp_path_factory.mktemp('fragile')
    run_until(fragile_config(folder, poison=dict(at=[4], what='module'), train_cfg=dict(by_epoch=True, max_epochs=1)))
    return folder / 'nonfinite/iter_4'


def replayed(capsys, *arguments):
    load_tool('analysis_tools/replay_nonfinite.py').main([str(word) for word in arguments])
    return capsys.readouterr().out.splitlines()


def test_the_same_is_found_again(event, capsys):
    first, then, now, draws = replayed(capsys, event, '--device', 'cpu')
    assert first.startswith('iteration 4, rank 0: loss nan, non-finite gradients of layers.0.weight, ')
    assert then == f'then: {FOUND}layers.1 (Squares); its input is finite'
    assert now == then.replace('then: ', 'now:  ')
    assert draws == 'draws of sources: none'


def fails(*arguments):
    with pytest.raises(SystemExit) as stopped:
        load_tool('analysis_tools/replay_nonfinite.py').main([str(word) for word in arguments])
    return str(stopped.value)


def test_it_is_found_in_the_numbers_not_read_from_the_file(event, tmp_path, capsys):
    shutil.copytree(event, tmp_path / 'fixed')
    path = tmp_path / 'fixed/rank_0.pth'
    content = torch.load(path, weights_only=False)
    content['iterations'][0]['batch']['inputs'][0, 0] = 0.5
    torch.save(content, path)
    _, then, now, _ = replayed(capsys, path.parent, '--device', 'cpu')
    assert then.startswith(f'then: {FOUND}layers.1')
    assert now == 'now:  nothing non-finite when it was run once more'


class Attack:
    def __reduce__(self):
        return exec, ('raise SystemExit("code was run")',)


def test_files_run_no_code(event, tmp_path):
    shutil.copytree(event, tmp_path / 'foreign')
    torch.save(dict(iterations=[Attack()]), tmp_path / 'foreign/rank_0.pth')
    assert 'rank_0.pth is not what NanGuardHook wrote, or was damaged: ' in fails(tmp_path / 'foreign')


def test_a_rank_that_is_not_there(event):
    assert f'there is no {event}/rank_3.pth: give a folder' in fails(event, '--rank', 3)


def test_weights_of_another_model(event, tmp_path):
    shutil.copytree(event, tmp_path / 'other')
    torch.save(dict(state_dict={'x': torch.ones(1)}), tmp_path / 'other/weights.pth')
    assert 'the weights are not of the config beside them: they differ in [' in fails(tmp_path / 'other')


@DATASETS.register_module()
class HugeImages(ToyImages):
    """Images of 32 px, of which the eighth is as good as infinite."""

    def prepare_data(self, idx):
        image = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(int(idx)))
        return dict(inputs=image * (3e38 if idx == 7 else 255))


def test_mixtures_are_drawn_again(tmp_path, capsys):
    """MixMAE on images one of which is as good as infinite."""
    config = fragile_config(tmp_path, model=tiny_model(), train_cfg=dict(by_epoch=True, max_epochs=1))
    config.train_dataloader.dataset = dict(type='HugeImages', pipeline=[])
    run_until(config)
    (folder,) = (tmp_path / 'nonfinite').iterdir()
    capsys.readouterr()
    then, now, draws = replayed(capsys, folder, '--device', 'cpu')[-3:]
    assert then.startswith(f'then: {FOUND}')
    assert now == then.replace('then: ', 'now:  ')
    assert draws == 'draws of sources: as then'
    content = torch.load(folder / 'rank_0.pth', weights_only=False)
    content['assignments'] = [1 - content['assignments'][0]]
    torch.save(content, folder / 'rank_0.pth')
    draws = replayed(capsys, folder, '--device', 'cpu')[-1]
    assert draws == 'draws of sources: other assignments than then: try the device of the run'


def test_a_step_is_run_again_in_the_precision_of_a_cpu():
    config = Config(dict(optim_wrapper=dict(type='mixmae_mm.CpuAmpOptimWrapper')))
    precision = load_tool('analysis_tools/replay_nonfinite.py').precision_of
    with precision(config, 'cpu')(None):
        assert torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype == torch.bfloat16
    assert precision(config, 'cuda')(None).fast_dtype == torch.bfloat16
