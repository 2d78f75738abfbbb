import numpy as np
import pytest
import torch
from PIL import Image
from tiny_mixmae import CELL, build, tiny_mixedae, write_files
from tool_loading import load_tool

from mixmae_mm.mixing import NOBODY, resize_assignment, visible
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


def random_result(groups=2, num_sources=2, channels=3, grid=(2, 4), least=NOBODY, maps=None):
    """Random pictures of 4 x 8 px and random maps, of sources from `least` on."""
    shape = (groups, num_sources, channels, 4, 8)
    sources, reconstructed = (torch.randint(0, 256, shape, dtype=torch.uint8) for _ in range(2))
    assignment = torch.randint(least, num_sources, (maps or groups, *grid))
    return Reconstructions(sources, torch.randint_like(sources[:, 0], 0, 256), reconstructed, assignment)


def shown_pixels(canvas, row, column):
    """The pixels of a panel of 4 x 8 px, enlarged 32 times: (4, 8, 3); all of a block must be alike."""
    blocks = np.asarray(cut_panel(canvas, row, column, (256, 128))).reshape(4, 32, 8, 32, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()
    return blocks[:, 0, :, 0].astype(int)


def seen_by_loops(result, row):
    """What the encoder saw, and whose it was, pixel by pixel: two of (4, 8, 3)."""
    grid = result.assignment[row if len(result.assignment) > 1 else 0]
    mixed, whose = np.zeros((4, 8, 3), int), np.zeros((4, 8, 3), int)
    for y in range(4):
        for x in range(8):
            owner = int(grid[y * grid.shape[0] // 4, x * grid.shape[1] // 8])
            pixel = [int(value) for value in result.mixed[row, :, y, x]]
            lightness = sum(pixel) / len(pixel)
            for channel in range(3):
                mixed[y, x, channel] = 190 if owner == NOBODY else pixel[channel % len(pixel)]
                tinted = 0.65 * tool.COLOURS[owner][channel] + 0.35 * lightness
                whose[y, x, channel] = 190 if owner == NOBODY else round(tinted)
    return mixed, whose


def test_titles_for_any_number_of_sources():
    titles = [[panel.title for panel in tool.panels_of(random_result(1, k))[0]] for k in (1, 2, 3)]
    assert titles[0] == ['original', 'encoder sees', 'reconstruction']
    middle = ['mixture', 'whose cell']
    assert titles[1] == ['original 1', 'original 2', *middle, 'reconstruction 1', 'reconstruction 2']
    assert titles[2][2:6] == ['original 3', *middle, 'reconstruction 1']


@pytest.mark.parametrize('maps', [1, 2])
@pytest.mark.parametrize(('channels', 'num_sources'), [(3, 1), (3, 2), (3, 4), (1, 2), (1, 1)])
def test_every_panel_holds_its_picture_enlarged_pixel_by_pixel(channels, num_sources, maps):
    result = random_result(2, num_sources, channels, maps=maps)
    canvas = tool.draw_rows(result, 'caption')
    for row in range(2):
        originals, reconstructions = (
            [picture.expand(3, 4, 8).permute(1, 2, 0).numpy() for picture in pictures[row]]
            for pictures in (result.sources, result.reconstructed)
        )
        middle = seen_by_loops(result, row)[: 1 if num_sources == 1 else 2]
        for column, picture in enumerate([*originals, *middle, *reconstructions]):
            assert abs(shown_pixels(canvas, row, column) - picture).max() <= (column == num_sources + 1)  # rounding


def test_map_of_one_mixture_by_hand():
    white = torch.full((1, 4, 3, 2, 2), 255, dtype=torch.uint8)
    result = Reconstructions(white, white[:, 0], white, torch.tensor([[[3, 0], [NOBODY, 2]]]))
    whose = tool.panels_of(result)[0][5].picture
    assert whose[:, 0, 0].tolist() == [226, 128, 193]  # 0.65 * (210, 60, 160) + 0.35 * 255
    assert whose[:, 0, 1].tolist() == [89, 154, 219]
    assert whose[:, 1, 0].tolist() == [190, 190, 190]
    assert whose[:, 1, 1].tolist() == [89, 193, 148]


def test_originals_and_reconstructions_are_framed_in_the_colours_of_the_map():
    canvas = tool.draw_rows(random_result(2, 3), 'caption')
    for row in range(2):
        for column, source in [(0, 0), (1, 1), (2, 2), (3, None), (4, None), (5, 0), (6, 1), (7, 2)]:
            x, y = tool.panel_place(row, column, (256, 128))
            around = np.asarray(canvas.crop((x - 4, y - 4, x + 256 + 4, y + 128 + 4))).astype(int)
            for frame in (around[1:4], around[-4:-1], around[:, 1:4].swapaxes(0, 1), around[:, -4:-1].swapaxes(0, 1)):
                expected = (255, 255, 255) if source is None else tool.COLOURS[source]
                assert (frame[:, 4:-4] == expected).all()
            assert (around[[0, -1]][:, 4:-4] == 255).all()


def test_one_source_is_not_framed():
    canvas = np.asarray(tool.draw_rows(random_result(1, 1), 'caption'))
    top, bottom = tool.HEADER, tool.HEADER + 128
    assert canvas.shape[1] == 3 * 256 + 4 * tool.GAP
    assert all((canvas[top:bottom, 256 * i + tool.GAP * i :][:, : tool.GAP] == 255).all() for i in range(4))


def test_colours_stay_apart_whatever_the_lightness_of_a_picture_adds():
    colours = torch.tensor([tool.colour_of(source) for source in range(8)], dtype=torch.float32)
    hues = colours - colours.mean(dim=1, keepdim=True)
    assert torch.pdist(hues).min() > 60
    assert torch.pdist(hues[:4]).min() > 100
    assert hues.norm(dim=1).min() > 100  # from grey
    assert tool.colour_of(9) == tool.colour_of(1)


def test_large_pictures_are_not_enlarged_and_text_stays_outside_the_panels():
    blank = torch.full((1, 2, 3, 160, 160), 255, dtype=torch.uint8)
    canvas = tool.draw_rows(Reconstructions(blank, blank[:, 0], blank, torch.zeros(1, 1, 1).long()), 'a caption ' * 30)
    ink = np.asarray(canvas.convert('L')) < 250
    top, bottom = tool.HEADER, tool.HEADER + 160
    assert canvas.width == 6 * 160 + 7 * tool.GAP
    assert ink[: top - tool.FRAME].any()
    assert ink[bottom + tool.FRAME :].any()
    assert not ink[:, -tool.GAP + tool.FRAME :].any()
    for column in (0, 1, 2, 4, 5):
        x, y = tool.panel_place(0, column, (160, 160))
        assert not ink[y : y + 160, x : x + 160].any()


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


def test_mae_sees_of_a_picture_what_is_not_hidden_and_the_rest_is_grey(pictures):
    pixels = pictures[1][:2]
    result = tool.reconstruct(build(tiny_mixedae, num_sources=1, hidden_ratio=0.75), pixels.float(), seed=1)
    assert torch.equal(result.sources[:, 0], pixels)
    assert not torch.equal(*result.assignment)
    canvas = tool.draw_rows(result, 'caption')
    for row in range(2):
        seen = np.asarray(cut_panel(canvas, row, 1, (128, 128)))[::4, ::4]
        hidden = np.repeat(np.repeat(result.assignment[row].numpy() == NOBODY, CELL, 0), CELL, 1)
        assert hidden.sum() == 12 * CELL**2
        assert (seen[hidden] == 190).all()
        assert (seen[~hidden] == pixels[row].permute(1, 2, 0).numpy()[~hidden]).all()


@pytest.mark.parametrize(
    ('method', 'settings', 'said'),
    [
        (None, dict(), '2 pictures a mixture, cells of 8 px, 50% of each hidden. A'),
        (None, dict(hidden_ratio=0.25), '2 pictures a mixture, cells of 8 px, 25%, 75% of originals 1 to 2 hidden. A'),
        (None, dict(take_turns=False, shared_assignment=False), '2 pictures a mixture, cells of 8 px, 50% of each hid'),
        (tiny_mixedae, dict(), '4 pictures a mixture, cells of 8 px, 75% of each hidden. A'),
        (tiny_mixedae, dict(take_turns=True), '4 pictures a mixture, cells of 8 px, 75% of each hidden. A'),
        (
            tiny_mixedae,
            dict(shares=(0.5, 0.25, 0.125, 0.125)),
            '4 pictures a mixture, cells of 8 px, 50%, 75%, 88%, 88% of originals 1 to 4 hidden. A',
        ),
        (
            tiny_mixedae,
            dict(num_sources=2, shares=(0.25, 0.25)),
            '2 pictures a mixture, cells of 8 px, 75% of each hidden. 50% of the cells show nobody (grey). A',
        ),
        (tiny_mixedae, dict(num_sources=1, hidden_ratio=0.75), 'Cells of 8 px, 75% of them hidden (grey). Rec'),
    ],
)
def test_caption_says_how_much_is_hidden_of_whom(pictures, method, settings, said):
    model = build(**settings) if method is None else build(method, **settings)
    caption = tool.describe(model, tool.reconstruct(model, pictures[1][:4].float(), 0))
    assert caption.startswith(said)


def test_caption_says_where_mean_and_spread_come_from_only_with_norm_pix(pictures):
    for norm_pix in (True, False):
        model = build(norm_pix=norm_pix)
        caption = tool.describe(model, tool.reconstruct(model, pictures[1][:2].float(), 0))
        assert ('mean and spread of each hidden cell come from the original' in caption) == norm_pix


def test_command_line_draws_the_configs_own_pictures(pictures, tmp_path, capsys):
    config, checkpoint = write_files(tmp_path)
    tool.main([config, checkpoint, '--out', str(tmp_path / 'new/out.png'), '--num', '2'])
    assert 'out.png: 2 mixture(s) of 2 pictures each' in capsys.readouterr().out
    with Image.open(tmp_path / 'new/out.png') as canvas:
        panel = cut_panel(canvas, 0, 0, (128, 128)).resize((32, 32), Image.Resampling.NEAREST)
    found = torch.from_numpy(np.array(panel)).permute(2, 0, 1)
    assert any(torch.equal(found, one) for one in pictures[1])


@pytest.mark.parametrize(('num_sources', 'said'), [(4, '1 mixture(s) of 4 pictures each'), (1, '4 picture(s)')])
def test_command_line_draws_mixedae_and_mae(pictures, tmp_path, capsys, num_sources, said):
    hidden = dict(hidden_ratio=0.5) if num_sources == 1 else {}
    config, checkpoint = write_files(tmp_path, tiny_mixedae, num_sources=num_sources, **hidden)
    files = ['--pictures', *pictures[0][:4]]
    tool.main([config, checkpoint, *files, '--out', str(tmp_path / 'out.png'), '--num', '4'])
    assert capsys.readouterr().out.endswith(f'out.png: {said}\n')
    places = [(0, 0), (0, 1), (0, 2), (0, 3)] if num_sources == 4 else [(0, 0), (1, 0), (2, 0), (3, 0)]
    with Image.open(tmp_path / 'out.png') as canvas:
        for place, picture in zip(places, pictures[1], strict=False):
            panel = np.asarray(cut_panel(canvas, *place, (128, 128)))[::4, ::4]
            assert (panel == picture.permute(1, 2, 0).numpy()).all()


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
