"""Position tables: the official values, and how they are resized."""

import pytest
import torch

from mixmae_mm.models.utils.pos_embed import (
    guess_grid,
    relative_index,
    resize_relative_table,
    resize_table,
    sin_cos_table,
    told_grid,
)


def test_official_values():
    table = sin_cos_table((56, 56), 128)[0].view(56, 56, 128)
    places = [0, 32, 64, 96]
    torch.testing.assert_close(table[0, 1, places], torch.tensor([0.8415, 0.5403, 0, 1]), atol=5e-5, rtol=0)
    torch.testing.assert_close(table[1, 0, places], torch.tensor([0, 1, 0.8415, 0.5403]), atol=5e-5, rtol=0)


def test_a_grid_that_is_not_square():
    table = sin_cos_table((2, 3), 8)[0].view(2, 3, 8)
    frequency = torch.tensor([1.0, 0.01])
    for row in range(2):
        for column in range(3):
            waves = [(angle * frequency, f) for angle in (column, row) for f in (torch.sin, torch.cos)]
            torch.testing.assert_close(table[row, column], torch.cat([f(a) for a, f in waves]))


def test_channels_must_be_a_multiple_of_four():
    with pytest.raises(ValueError, match='multiple of 4 channels, got 6'):
        sin_cos_table((2, 2), 6)


def test_rows_and_columns_are_not_swapped():
    rows = torch.randn(4)[:, None].expand(4, 6).reshape(1, 24, 1)
    resized = resize_table(rows, (4, 6), (8, 9)).view(8, 9)
    torch.testing.assert_close(resized, resized[:, :1].expand(8, 9))
    assert resized[:, 0].std() > 0.1


def test_stretching_differs_from_making_anew():
    """The official code resizes; for 56 -> 96 a table made anew is up to 2.02 away."""
    resized = resize_table(sin_cos_table((56, 56), 128), (56, 56), (96, 96))
    gap = (resized - sin_cos_table((96, 96), 128)).abs().max().item()
    assert gap == pytest.approx(2.02, abs=0.01)


def test_relative_tables_are_resized_as_maps_of_each_head():
    table = torch.randn(27 * 27, 4)
    resized = resize_relative_table(table, (14, 14), (16, 12))
    assert resized.shape == (31 * 23, 4)
    maps = torch.nn.functional.interpolate(
        table.T.reshape(1, 4, 27, 27), size=(31, 23), mode='bicubic', align_corners=False
    )
    assert torch.equal(resized, maps.reshape(4, -1).T)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_tables_in_half_precision_are_resized_in_float32(dtype):
    table, biases = torch.randn(1, 13 * 13, 64).to(dtype), torch.randn(27 * 27, 64).to(dtype)
    resized = resize_table(table, (13, 13), (31, 29)), resize_relative_table(biases, (14, 14), (24, 23))
    single = resize_table(table.float(), (13, 13), (31, 29)), resize_relative_table(biases.float(), (14, 14), (24, 23))
    for one, expected in zip(resized, single, strict=True):
        assert torch.equal(one, expected.to(dtype))


def test_relative_index_against_loops():
    index = relative_index((2, 3), (4, 5))
    for a in range(6):
        for b in range(6):
            row, column = a // 3 - b // 3, a % 3 - b % 3
            assert index[a, b] == (row + 3) * 9 + column + 4


def test_sides_of_stored_tables():
    assert guess_grid(35, (5, 7), 'table') == (5, 7)
    assert guess_grid(36, (5, 7), 'table') == (6, 6)
    with pytest.raises(ValueError, match='table holds 40 entries: neither the 5 x 7 of this model nor a square'):
        guess_grid(40, (5, 7), 'table')


@pytest.mark.parametrize('grid', [(16, 16), (8, 32), (32, 8), (1, 256)])
def test_a_sin_cos_table_tells_its_sides_itself(grid):
    table = sin_cos_table(grid, 32)
    assert told_grid(table) == grid
    assert told_grid(resize_table(table, grid, (grid[0], 24))) == (grid[0], 24)
    assert told_grid(table.half()) == grid


def test_a_trained_table_does_not_tell_its_sides():
    assert told_grid(torch.randn(1, 36, 8)) is None
