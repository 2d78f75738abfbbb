"""`mixmae check-encoder`: what keeps sources apart passes, and what does not is named."""

import pytest
import torch
from mmengine.config import Config
from shipped_configs import ROOT, need_library, read
from tiny_mixmae import parts
from tool_loading import load_tool
from torch import nn

from mixmae_mm.mixing import resize_assignment
from mixmae_mm.registry import MODELS

tool = load_tool('analysis_tools/check_encoder.py')


@MODELS.register_module()
class Convolved(nn.Module):
    """A convolution by which some sources leak, unless it is asked to keep them apart."""

    def __init__(self, leaks=(), stride=32, in_evaluation=True):
        super().__init__()
        self.leaks, self.in_evaluation = leaks, in_evaluation
        self.embed, self.conv = nn.Conv2d(3, 8, stride, stride), nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, images, assignment=None):
        x = self.embed(images)
        if assignment is None:
            return (self.conv(x),)
        leaks = self.training or self.in_evaluation
        labels, out = resize_assignment(assignment, tuple(x.shape[-2:]))[:, None], torch.zeros_like(x)
        for source in range(2):
            own = labels == source
            out = torch.where(own, self.conv(x if leaks and source in self.leaks else x * own), out)
        return (out,)


def check(tmp_path, backbone, *options, **model):
    config = dict(type='mixmae_mm.MixMAE', **parts(8, 3, 32), backbone=backbone) | model
    Config(dict(model=config, default_scope='mmpretrain')).dump(tmp_path / 'config.py')
    tool.main([str(tmp_path / 'config.py'), *options])


@pytest.mark.parametrize('name', ['mixmim-swin', 'swin', 'pvt', 'twins-svt'])
def test_shipped_encoders_pass(name, capsys):
    path = f'mixmae/mixmae_{name}-micro_1xb64-coslr-40e_imagenette-96px.py'
    need_library(read(path))
    tool.main([str(ROOT / path)])
    printed = capsys.readouterr().out
    assert 'ok     maps: 128 x 6 x 6' in printed
    for mode in ('evaluation', 'training'):
        assert f'ok     source 1, in {mode}: tokens do not change: 0\n' in printed
    assert 'WRONG' not in printed
    assert 'Sources are kept apart' in printed


def test_any_size(tmp_path, capsys):
    check(tmp_path, dict(type='mixmae_mm.Convolved'), '--image-size', '64', '160')
    assert 'maps: 8 x 2 x 5' in capsys.readouterr().out


@pytest.mark.parametrize('leaks', [(0,), (1,), (0, 1)])
def test_the_source_that_others_enter_is_named(tmp_path, capsys, leaks):
    torch.manual_seed(0)
    with pytest.raises(SystemExit) as ended:
        check(tmp_path, dict(type='mixmae_mm.Convolved', leaks=leaks))
    assert ended.value.code == 1
    wrong = [line for line in capsys.readouterr().out.splitlines() if line.startswith('WRONG')]
    whats = 'tokens do not change', 'gradients stay inside'
    modes = 'evaluation', 'training'
    expected = [f'WRONG  source {leak}, in {mode}: {what}' for mode in modes for leak in leaks for what in whats]
    assert [line.rpartition(':')[0] for line in wrong] == expected


def test_a_leak_in_training_alone_is_found(tmp_path, capsys):
    with pytest.raises(SystemExit):
        check(tmp_path, dict(type='mixmae_mm.Convolved', leaks=(0,), in_evaluation=False))
    wrong = [line for line in capsys.readouterr().out.splitlines() if line.startswith('WRONG')]
    assert [line.partition(':')[0] for line in wrong] == ['WRONG  source 0, in training'] * 2


def test_a_last_map_off_the_grid_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        check(tmp_path, dict(type='mixmae_mm.Convolved', stride=16))
    assert 'WRONG  the last map has the grid of the cells: (6, 6) and (3, 3)' in capsys.readouterr().out


def test_a_model_without_a_mask_is_refused(tmp_path):
    with pytest.raises(SystemExit, match=r'does not mask .*: use .*mixmae_mm\.MixMAE'):
        check(tmp_path, dict(type='mixmae_mm.Convolved'), masked_attention=False)
