"""The tool that tests whether patches of other images help: masks are equal, shares of attention exact."""

import json

import pytest
import torch
from PIL import Image
from tiny_mixmae import build, tiny_mixedae, write_run
from tool_loading import load_tool

tool = load_tool('../projects/studies/tools/mixture_losses.py')


def model_with(**backbone):
    """A MixedAE for mixtures of four images, with settings of its encoder."""
    settings = tiny_mixedae()
    settings['backbone'] |= backbone
    return build(lambda: settings)


def images_of(number):
    return torch.randint(256, (number, 3, 32, 32), generator=torch.Generator().manual_seed(0)).float()


def test_rows_are_of_one_class_and_successive_rows_of_others():
    files = [f'{place}/{name}{number}.png' for name in 'ab' for number in range(5) for place in [f'x/{name}']]
    assert tool.rows_by_class(files, 2) == [
        ['x/a/a0.png', 'x/a/a1.png'],
        ['x/b/b0.png', 'x/b/b1.png'],
        ['x/a/a2.png', 'x/a/a3.png'],
        ['x/b/b2.png', 'x/b/b3.png'],
    ]
    with pytest.raises(ValueError, match=r'2 class\(es\) for mixtures of 3 images: give as many or more'):
        tool.rows_by_class(files, 3)


def test_images_are_moved_apart_in_their_slots():
    rows = torch.tensor([[0, 10], [20, 30], [40, 50]]).flatten()
    assert tool.apart(rows, 2).unflatten(0, (-1, 2)).tolist() == [[0, 50], [20, 10], [40, 30]]


def test_copies_are_of_the_first_image_of_each_row():
    rows = torch.tensor([[0, 10], [20, 30]]).flatten()
    assert tool.copied(rows, 2).tolist() == [0, 0, 20, 20]


def test_a_measure_is_a_mean_and_its_standard_error():
    assert tool.measured([1, 3]) == pytest.approx((2, 1))
    assert tool.measured([1, 3, 1, 3]) == pytest.approx((2, 1 / 3**0.5))


def test_both_arrangements_have_the_same_masks(monkeypatch):
    model, seen = model_with(), []
    loss = type(model).loss
    monkeypatch.setattr(type(model), 'loss', lambda self, mixtures: seen.append(mixtures) or loss(self, mixtures))
    images = images_of(20)
    losses = [tool.loss_of(model, arranged, seed=3) for arranged in (images, tool.apart(images, 4))]
    own, other = seen
    assert len(own.assignment) == 1
    assert own.assignment.equal(other.assignment)
    assert losses[0] != losses[1]
    assert all(own.sources.roll(slot, 0)[:, slot].equal(other.sources[:, slot]) for slot in range(4))
    model.head.num_reconstructed = 3
    with torch.no_grad():
        one = model.head.loss(model.decode(own), own)['loss_reconstruction']
    model.head.num_reconstructed = 2
    assert tool.loss_of(model, images, seed=3, counted=3) == pytest.approx(float(one))
    assert losses[0] != pytest.approx(float(one))
    assert model.head.num_reconstructed == 2  # as it was
    assert not model.data_preprocessor.shared_assignment


@pytest.mark.parametrize(('attention', 'share'), [('global', 0.75), ('true', 0.0)])
def test_the_share_of_uniform_attention_is_that_of_other_images(attention, share):
    model = model_with(attention=attention, homologous_layers=[0, 1] if attention == 'true' else None)
    for block in model.backbone.blocks:
        torch.nn.init.zeros_(block.attn.qkv.weight)
    found = tool.foreign_attention(model, images_of(8), seed=0)
    assert found == pytest.approx({'block 0': share, 'block 1': share})


def test_masked_images_pay_no_attention_to_others():
    model = build(tiny_mixedae, num_sources=1, mask_ratio=0.5)
    assert set(tool.foreign_attention(model, images_of(3), seed=0).values()) == {0.0}


@pytest.fixture
def run(tmp_path):
    """A run, and photos: those of one class are black, those of the other white."""
    for name, color in (('black', 0), ('white', 255)):
        (tmp_path / 'images' / name).mkdir(parents=True)
        for number in range(6):
            Image.new('RGB', (32, 32), (color,) * 3).save(tmp_path / f'images/{name}/{number}.png')
    return write_run(tmp_path / 'run', tmp_path / 'images', tiny_mixedae, num_sources=2)


def test_a_run_is_measured(tmp_path, run, capsys):
    tool.main([str(run), '--unseen', str(tmp_path / 'images'), '--json', str(tmp_path / 'found.json')])
    (found,) = json.loads((tmp_path / 'found.json').read_text()).values()
    assert [*found] == ['seen', 'unseen', 'foreign', 'copies', 'block 0', 'block 1']
    assert '{:.5f} +- {:.5f}'.format(*found['foreign']) in capsys.readouterr().out


def test_differences_are_of_mixtures_that_differ_minus_those_that_do_not(tmp_path, run, monkeypatch):
    def share_of_unlike(model, images, seed, counted=None):
        rows = images.float().mean((1, 2, 3)).unflatten(0, (-1, 2))
        return float((rows[:, 0] != rows[:, 1]).float().mean()) + (10 if counted else 0)

    monkeypatch.setattr(tool, 'loss_of', share_of_unlike)
    found = tool.statistics_of(run, tool.files_of(tool.ImageFolder(str(tmp_path / 'images'))))
    assert found['unseen'] == found['foreign'] == found['copies'] == (1, 0)
    assert 0 < found['seen'][0] < 1  # drawn: some pairs are alike


def test_only_mixedae_and_mae_are_measured(tmp_path):
    other = write_run(tmp_path / 'mixmae', tmp_path)
    with pytest.raises(ValueError, match='mixmae has a MixMAE: give runs of MixedAE or MAE'):
        tool.statistics_of(other, [])


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r'has 0 config\(s\) and no last checkpoint: give the folder of one training'):
        tool.load(tmp_path)
    with pytest.raises(ValueError, match='there is no folder .*nowhere, make it first'):
        tool.main([str(tmp_path), '--unseen', str(tmp_path), '--json', str(tmp_path / 'nowhere/found.json')])
