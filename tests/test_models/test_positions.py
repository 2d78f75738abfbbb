"""Position embeddings: the official values, and resizing."""

import pytest
import torch

from mixmae_mm.models.utils.pos_embed import relative_index, resize_bias_table, resize_pos_embed, sin_cos_pos_embed


def test_official_values():
    pos_embed = sin_cos_pos_embed((56, 56), 128)[0].view(56, 56, 128)
    channels = [0, 32, 64, 96]
    torch.testing.assert_close(pos_embed[0, 1, channels], torch.tensor([0.8415, 0.5403, 0, 1]), atol=5e-5, rtol=0)
    torch.testing.assert_close(pos_embed[1, 0, channels], torch.tensor([0, 1, 0.8415, 0.5403]), atol=5e-5, rtol=0)


def test_a_grid_that_is_not_square():
    pos_embed = sin_cos_pos_embed((2, 3), 8)[0].view(2, 3, 8)
    frequency = torch.tensor([1.0, 0.01])
    for row in range(2):
        for column in range(3):
            waves = [(angle * frequency, f) for angle in (column, row) for f in (torch.sin, torch.cos)]
            torch.testing.assert_close(pos_embed[row, column], torch.cat([f(a) for a, f in waves]))


def test_rows_and_columns_are_not_swapped():
    rows = torch.randn(4)[:, None].expand(4, 6).reshape(1, 24, 1)
    resized = resize_pos_embed(rows, (4, 6), (8, 9)).view(8, 9)
    torch.testing.assert_close(resized, resized[:, :1].expand(8, 9))
    assert resized[:, 0].std() > 0.1


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_tables_in_half_precision_are_resized_in_float32(dtype):
    table, biases = torch.randn(1, 13 * 13, 64).to(dtype), torch.randn(27 * 27, 64).to(dtype)
    resized = resize_pos_embed(table, (13, 13), (31, 29)), resize_bias_table(biases, (14, 14), (24, 23))
    single = resize_pos_embed(table.float(), (13, 13), (31, 29)), resize_bias_table(biases.float(), (14, 14), (24, 23))
    for one, expected in zip(resized, single, strict=True):
        assert torch.equal(one, expected.to(dtype))


def test_relative_index_against_loops():
    index = relative_index((2, 3), (4, 5))
    for a in range(6):
        for b in range(6):
            row, column = a // 3 - b // 3, a % 3 - b % 3
            assert index[a, b] == (row + 3) * 9 + column + 4
