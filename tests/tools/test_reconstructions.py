import numpy as np
import pytest
import torch
from PIL import Image
from tiny_mixmae import CELL, build, write_files
from tool_loading import load_tool

from mixmae_mm.mixing import resize_assignment, visible
from mixmae_mm.models.pretrainer import Reconstructions

tool = load_tool('visualization/reconstructions.py')


@pytest.fixture
def pictures(tmp_path):
    """Five pictures of random pixels as files of a folder, and the pixels (5, 3, 32, 32)."""
    (tmp_path / 'pictures').mkdir()
    pixels = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8)
    for number, one in enumerate(pixels):
        Image.fromarray(one.permute(1, 2, 0).numpy()).save(tmp_path / f'pictures/{number}.png')
    return [str(path) for path in sorted((tmp_path / 'pictures').iterdir())], pixels


def cut_panel(canvas, row, column, size):
    x, y = tool.panel_place(row, column, size)
    return canvas.crop((x, y, x + size[0], y + size[1]))


def test_titles_for_any_number_of_sources():
    assert tool.panel_titles(2) == ['original 1', 'original 2', 'mixture', 'reconstruction 1', 'reconstruction 2']
    assert tool.panel_titles(3)[2:4] == ['original 3', 'mixture']


@pytest.mark.parametrize(('channels', 'num_sources'), [(3, 2), (3, 3), (1, 2)])
def test_every_panel_holds_its_picture_enlarged_pixel_by_pixel(channels, num_sources):
    shape = (2, num_sources, channels, 4, 8)
    sources, reconstructed = (torch.randint(0, 256, shape, dtype=torch.uint8) for _ in range(2))
    mixed = torch.randint(0, 256, (2, channels, 4, 8), dtype=torch.uint8)
    canvas = tool.draw_rows(Reconstructions(sources, mixed, reconstructed, torch.zeros(1, 1, 1)), 'caption')
    for row in range(2):
        for column, picture in enumerate([*sources[row], mixed[row], *reconstructed[row]]):
            panel = np.asarray(cut_panel(canvas, row, column, (256, 128)))
            blocks = panel.reshape(4, 32, 8, 32, 3)
            assert (blocks == picture.expand(3, 4, 8).permute(1, 2, 0).numpy()[:, None, :, None]).all()


def test_large_pictures_are_not_enlarged_and_text_stays_outside_the_panels():
    blank = torch.full((1, 2, 3, 160, 160), 255, dtype=torch.uint8)
    canvas = tool.draw_rows(Reconstructions(blank, blank[:, 0], blank, torch.zeros(1, 1, 1)), 'a caption ' * 30)
    ink = np.asarray(canvas.convert('L')) < 250
    top, bottom = tool.HEADER, tool.HEADER + 160
    assert canvas.width == 5 * 160 + 6 * tool.GAP
    assert ink[:top].any()
    assert not ink[top:bottom].any()
    assert ink[bottom:].any()
    assert not ink[:, -tool.GAP :].any()


def test_each_group_is_led_by_its_first_picture_and_mixed_as_the_assignment_says(pictures):
    bgr, each = dict(take_turns=False, bgr_to_rgb=True), dict(shared_assignment=False)
    for settings in (dict(), dict(num_sources=4), each, bgr):
        model, pixels = build(**settings), pictures[1][:4]
        result = tool.reconstruct(model, pixels.float(), seed=1)
        num_sources = settings.get('num_sources', 2)
        assert torch.equal(result.sources, pixels.unflatten(0, (-1, num_sources)))
        shown = visible(resize_assignment(result.assignment, (32, 32)), num_sources)[:, :, None]
        assert torch.equal(result.mixed, (result.sources * shown).sum(1).to(torch.uint8))
        assert torch.equal(result.reconstructed * shown, result.sources * shown)
        assert not torch.equal(result.reconstructed, result.sources)


def test_seed_decides_the_mixture(pictures):
    model, pixels = build(), pictures[1][:4].float()
    first, again, other = (tool.reconstruct(model, pixels, seed).assignment for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_named_files_keep_their_order_and_fill_whole_groups(pictures):
    paths = pictures[0]
    assert tool.find_pictures(paths[::-1], 6, 2, seed=0) == paths[:0:-1]
    with pytest.raises(ValueError, match=r'^2 picture\(s\) cannot be mixed by 3: give 3 or more$'):
        tool.find_pictures(paths[:2], 6, 3, seed=0)


def test_folder_gives_a_seeded_choice_without_repeats(pictures, tmp_path):
    choices = [tool.find_pictures([str(tmp_path)], 4, 2, seed) for seed in (0, 0, 1, 2, 3)]
    assert choices[0] == choices[1]
    assert len({tuple(choice) for choice in choices}) > 2
    assert all(len(set(choice)) == 4 and set(choice) <= set(pictures[0]) for choice in choices)


def test_pictures_of_the_right_size_are_read_as_they_are_and_others_cropped_in_the_middle(pictures, tmp_path):
    paths, pixels = pictures
    assert torch.equal(tool.read_pictures(paths, (32, 32), 3), pixels.float())
    wide = np.zeros((32, 96, 3), np.uint8)
    wide[:, 32:64] = 200
    Image.fromarray(wide).save(tmp_path / 'wide.png')
    assert (tool.read_pictures([str(tmp_path / 'wide.png')], (16, 16), 1) - 200).abs().max() < 20  # bicubic edges
    with pytest.raises(ValueError, match='pictures of 1 or 3 channels can be drawn, this model takes 13'):
        tool.read_pictures(paths, (32, 32), 13)


def test_caption_says_where_mean_and_spread_come_from_only_with_norm_pix(pictures):
    for norm_pix in (True, False):
        model = build(norm_pix=norm_pix)
        caption = tool.describe(model, tool.reconstruct(model, pictures[1][:2].float(), 0))
        assert f'2 pictures a mixture, cells of {CELL} px, 50% of those of original 1 hidden' in caption
        assert ('mean and spread of each hidden cell come from the original' in caption) == norm_pix


def test_command_line_draws_the_configs_own_pictures(pictures, tmp_path, capsys):
    config, checkpoint = write_files(tmp_path)
    tool.main([config, checkpoint, '--out', str(tmp_path / 'new/out.png'), '--num', '2'])
    assert 'out.png: 2 mixture(s) of 2 pictures each' in capsys.readouterr().out
    with Image.open(tmp_path / 'new/out.png') as canvas:
        panel = cut_panel(canvas, 0, 0, (128, 128)).resize((32, 32), Image.Resampling.NEAREST)
    found = torch.from_numpy(np.array(panel)).permute(2, 0, 1)
    assert any(torch.equal(found, one) for one in pictures[1])


def test_config_without_a_folder_asks_for_pictures(tmp_path):
    config, checkpoint = write_files(tmp_path)
    with pytest.raises(SystemExit, match='names no train_dataloader.dataset.data_root: give --pictures'):
        tool.main([config, checkpoint, '--cfg-options', 'train_dataloader.dataset.data_root='])


def test_checkpoint_of_another_model_is_refused(pictures, tmp_path):
    config, checkpoint = write_files(tmp_path)
    with pytest.raises(SystemExit, match='checkpoint.pth is of another model than .*config.py'):
        tool.main([config, checkpoint, '--cfg-options', 'model.neck.depth=2'])
    with pytest.raises(SystemExit, match='there is no checkpoint .*missing.pth'):
        tool.main([config, str(tmp_path / 'missing.pth')])
    with pytest.raises(SystemExit, match='config.py is no pre-training config'):
        tool.main([config, checkpoint, '--cfg-options', 'model.data_preprocessor._delete_=True'])
