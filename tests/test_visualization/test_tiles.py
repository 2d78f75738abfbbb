import numpy as np
from matplotlib import colormaps
from PIL import ImageFont

from mixmae_mm.visualization import tiles
from mixmae_mm.visualization.image_grid import FRAME, GAP, HEADER, LINE


def image(value, size=(128, 128)):
    return np.full((*size, 3), value, np.uint8)


def test_values_become_blocks_of_pixels():
    grid = np.arange(6).reshape(2, 3)
    blocks = tiles.resize(grid, (4, 6))
    assert blocks.tolist() == np.kron(grid, np.ones((2, 2), int)).tolist()
    assert tiles.resize(grid[..., None], (3, 3))[:, 0, 0].tolist() == [0, 0, 3]


def test_heat_map_by_hand():
    values = np.array([[0.0, 1], [2, np.nan]])
    shown = tiles.heat_map(image(100, (4, 4)), values, 0, 2).astype(int)
    for (row, column), share in {(0, 0): 0.0, (0, 2): 0.5, (2, 0): 1.0}.items():
        color = [round(0.7 * 255 * part + 0.3 * 100) for part in colormaps['inferno'](share)[:3]]
        assert abs(shown[row, column] - color).max() <= 1
        assert (shown[row : row + 2, column : column + 2] == shown[row, column]).all()
    assert (shown[2:, 2:] == round(0.6 * 255 + 0.4 * 100)).all()


def test_heat_map_peaks_where_the_largest_value_is():
    values = np.random.default_rng(0).random((6, 6))
    values[4, 1] = 3
    shown = tiles.heat_map(image(0, (24, 24)), values, 0, 3).sum(-1)
    rows, columns = np.nonzero(shown == shown.max())
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (16, 19, 4, 7)


def test_equal_values_do_not_divide_by_zero():
    assert (
        tiles.heat_map(image(0, (2, 2)), np.ones((1, 1)), 1, 1)
        == tiles.heat_map(image(0, (2, 2)), np.zeros((1, 1)), 0, 9)
    ).all()


def sheet():
    rows = [
        [tiles.Tile(image(10), 'below'), tiles.Tile(image(20, (128, 200)))],
        [tiles.Tile(image(30), frame=(255, 0, 0)), tiles.Tile(image(40, (150, 140))), tiles.Tile(image(50))],
    ]
    return np.asarray(tiles.draw_tiles(rows, ['one', 'two', 'three'], 'a caption ' * 20)).astype(int)


def test_tiles_stand_in_columns_and_rows():
    canvas = sheet()
    lefts = (GAP, GAP + 128 + GAP, GAP + 128 + GAP + 200 + GAP)
    tops = (HEADER, HEADER + 128 + LINE + GAP)
    places = {
        10: (0, 0, 128, 128),
        20: (0, 1, 128, 200),
        30: (1, 0, 128, 128),
        40: (1, 1, 150, 140),
        50: (1, 2, 128, 128),
    }
    for value, (row, column, height, width) in places.items():
        top, left = tops[row], lefts[column]
        assert (canvas[top : top + height, left : left + width] == value).all()
    assert canvas.shape[1] == lefts[2] + 128 + GAP
    assert (canvas[tops[1] - FRAME : tops[1], GAP - FRAME : GAP + 128 + FRAME] == (255, 0, 0)).all()


def test_text_stands_above_below_and_at_the_foot_and_nowhere_else():
    canvas = sheet()
    ink = (canvas.sum(-1) < 600) & (canvas[..., 0] != 255)
    below = slice(HEADER + 128, HEADER + 128 + LINE + FRAME)
    assert ink[: HEADER - FRAME, GAP : GAP + 128].any()
    assert ink[below, GAP : GAP + 128].any()
    assert not ink[below, GAP + 128 : GAP + 138].any()
    foot = HEADER + 128 + LINE + GAP + 150 + GAP
    assert ink[foot:].any()
    assert not ink[:, -FRAME:].any()
    assert not ink[-GAP + FRAME :].any()


def test_marks_are_rings_around_their_point():
    mark = tiles.Mark(0.25, 0.75, (0, 255, 0))
    canvas = np.asarray(tiles.draw_tiles([[tiles.Tile(image(100), '', [mark])]], [''], '')).astype(int)
    green = (canvas == (0, 255, 0)).all(-1)
    rows, columns = np.nonzero(green)
    middle = (rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2
    assert np.allclose(middle, (HEADER + 96, GAP + 32), atol=1)
    assert not green[HEADER + 96, GAP + 32]


def test_lines_join_the_marks_of_two_tiles():
    pair = [tiles.Tile(image(200), '', [tiles.Mark(0.5, 0.25, (0, 0, 255))]) for _ in range(2)]
    canvas = np.asarray(tiles.join_marks(tiles.draw_tiles([pair], ['a', 'b'], ''), *pair)).astype(int)
    row = canvas[HEADER + 32, GAP + 64 + 10 : 2 * GAP + 128 + 64 - 10]
    assert (row == (0, 0, 255)).all()


def test_long_texts_lose_their_middle():
    font = ImageFont.load_default(12)
    short = tiles.shorten('ILSVRC2012_val_00008161.jpg', lambda text: font.getlength(text) <= 90)
    assert font.getlength(short) <= 90 < font.getlength(short.replace('...', '....') + 'x')
    assert short.startswith('ILS')
    assert short.endswith('.jpg')
    assert '...' in short
    assert tiles.shorten('fits', lambda text: True) == 'fits'
