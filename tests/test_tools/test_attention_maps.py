import numpy as np
import pytest
import torch
from PIL import Image
from tiny_mixmae import tiny_mixedae, write_files
from tool_loading import load_tool

from mixmae_mm.apis.attention_maps import Attended
from mixmae_mm.visualization.image_grid import GAP

tool = load_tool('visualization/attention_maps.py')


def columns(path):
    """How many panels of 128 px stand side by side."""
    with Image.open(path) as sheet:
        return (sheet.width - GAP) // (128 + GAP), sheet.height


@pytest.mark.parametrize(
    ('method', 'arguments', 'expected', 'said'),
    [
        (tiny_mixedae, [], 1 + 1 + 2, 'block 1 of 2 image(s)'),
        (tiny_mixedae, ['--block', '0', '-1', '--query', '0.5,0.5'], 1 + 2, 'block 0, block 1 of 2 image(s)'),
        (tiny_mixedae, ['--mix', '--num-images', '1'], 2 + 1 + 2, 'block 1 of 1 mixture(s)'),
        (None, [], 1 + 4, 'stage 0 block 0, stage 1 block 0, stage 2 block 0, stage 3 block 0 of 2 image(s)'),
        (None, ['--mix', '--num-images', '1', '--block', '3', '--query', '0.1,0.9'], 5, 'stage 3 block 0 of 1 mix'),
    ],
)
def test_command_line(five_images, tmp_path, capsys, method, arguments, expected, said):
    config, checkpoint = write_files(tmp_path, *([method] if method else []))
    tool.main([config, checkpoint, '--num-images', '2', '--out', str(tmp_path / 'new/out.png'), *arguments])
    assert f'out.png: {said}' in capsys.readouterr().out
    assert columns(tmp_path / 'new/out.png')[0] == expected


def looking():
    """Two heads over a grid of 2 x 2; both images gray; CLS looks at patch 3, patch 1 at patch 2."""
    weights = torch.zeros(2, 1, 2, 5, 5)
    weights[:, :, :, 0, 4] = 0.75
    weights[:, :, :, 0, 1] = 0.25
    weights[:, :, :, 1:, 3] = 1
    attended = Attended(weights, torch.zeros(2, 1, 2, 5, 1), torch.tensor([[[-1, 0, 1, 2, 3]]]), (2, 2), 1)
    return tool.Looking(np.full((2, 8, 8, 3), 50, np.uint8), None, {'block 0': attended})


@pytest.mark.parametrize(
    ('query', 'received', 'brightest', 'below'),
    [(None, False, (1, 1), '3.0 x'), ((0.9, 0.1), False, (1, 0), '4.0 x'), (None, True, (1, 0), '4.0 x')],
)
def test_maps_are_bright_where_the_weight_is_and_tell_how_much(query, received, brightest, below):
    rows = list(tool.rows_of(looking(), [query], received))
    assert [len(row) for row in rows] == [4, 4]
    for tile in rows[1][1:]:
        light = tile.image[::4, ::4].sum(-1)
        assert divmod(int(light.argmax()), 2) == brightest
        assert tile.below == f'up to {below}'
    assert [(mark.x, mark.y) for mark in rows[0][0].marks] == ([(0.75, 0.25)] if query else [])


def test_caption_says_who_looks():
    assert tool.describe(looking(), None, False).startswith('What CLS looks at: block 0. Black')
    assert tool.describe(looking(), (0.5, 0.5), False).startswith('What the patch in the ring looks at: block 0.')
    assert tool.describe(looking(), None, True).startswith('What each patch receives from the patches of its window')
    assert 'square root' in tool.describe(looking(), None, False)
    assert 'square root' not in tool.describe(looking(), None, True)


def test_wrong_arguments(five_images, tmp_path, capsys):
    config, checkpoint = write_files(tmp_path, tiny_mixedae)
    out = ['--out', str(tmp_path / 'out.png')]
    for arguments, said in (
        (['--block', '2'], 'error: there is no block 2: this encoder has 2, 0 to 1'),
        (['--image-size', '20'], 'error: images of 20 x 20 pixels: take an --image-size that is a multiple of 8'),
        (['--images', 'nowhere'], 'error: .*nowhere'),
    ):
        with pytest.raises(SystemExit, match=said):
            tool.main([config, checkpoint, *out, *arguments])
    for arguments, said in (
        (['--query', '0.5'], '0.5: give x,y as shares of width and height, such as 0.5,0.25'),
        (['--query', '0.5,1.5'], '0.5,1.5: both lie from 0 to 1, which is the right or lower edge'),
        (['--query', '0.5,0.5', '--received'], '--query and --received: give one of them'),
        (['--num-images', '0'], '0: give 1 or more'),
        (['--out', 'maps.html'], 'maps.html: give a name with an extension of images, such as .png'),
        (['--out', 'folder/maps'], 'folder/maps: give a name with an extension'),
    ):
        with pytest.raises(SystemExit):
            tool.main([config, checkpoint, *out, *arguments])
        assert said in capsys.readouterr().err
    assert not (tmp_path / 'out.png').exists()
