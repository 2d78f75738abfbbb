import numpy as np
import pytest
import torch

from mixmae_mm.mixing import NOBODY
from mixmae_mm.structures import HomologousMaps
from mixmae_mm.visualization import homologous_grid, image_grid


def two_by_two(kept, assignment=((0, 1), (1, 0)), lightness=100, channels=3):
    """A mixture of 4 x 4 px, all of a lightness, in four patches."""
    mixed = torch.full((1, channels, 4, 4), lightness, dtype=torch.uint8)
    return HomologousMaps(mixed, torch.tensor([assignment]), torch.tensor([kept]), 11, 2)


ALL = [[1.0, 0.0, 0.5, 1.0], [0.0, 1.0, 1.0, 0.0], [0.0] * 4, [0.25] * 4]


def test_keys_shine_in_their_owners_colors_as_many_heads_keep_them():
    lit = homologous_grid.light_up(two_by_two(ALL), torch.tensor([0]))[0, :, ::2, ::2].permute(1, 2, 0)
    faded = 0.2 * 100 + 0.8 * 255
    blue, orange = (np.array(image_grid.COLORS[k]) * 0.65 + 35 for k in (0, 1))
    assert lit[0, 0].tolist() == pytest.approx(blue.round().tolist())
    assert lit[0, 1].tolist() == [round(faded)] * 3
    assert lit[1, 0].tolist() == pytest.approx((0.5 * orange.round() + 0.5 * faded).tolist(), abs=0.51)
    assert lit[1, 1].tolist() == pytest.approx(blue.round().tolist())


def test_nobodys_patches_are_gray_and_one_channel_is_enough():
    maps = two_by_two(ALL, assignment=((0, NOBODY), (1, 0)), channels=1)
    lit = homologous_grid.light_up(maps, torch.tensor([0]))
    assert (lit[0, :, :2, 2:] == image_grid.MASKED).all()
    assert (lit[0, :, :2, :2] != image_grid.MASKED).all()


def test_queries_are_of_their_sources_drawn_by_seed_and_missing_where_there_is_none():
    assignment = torch.randint(0, 3, (5, 4, 4))
    assignment[2][assignment[2] == 1] = 0
    queries = homologous_grid.choose_queries(assignment, 3, seed=0)
    for g in range(5):
        for source in range(3):
            query = int(queries[g, source])
            assert query == -1 if (g, source) == (2, 1) else assignment[g].flatten()[query] == source
    assert torch.equal(queries, homologous_grid.choose_queries(assignment, 3, seed=0))
    assert not torch.equal(queries, homologous_grid.choose_queries(assignment, 3, seed=1))


def test_an_image_grid_holds_a_framed_panel_a_source_with_the_query_marked():
    grid = np.asarray(homologous_grid.draw_homologous(two_by_two(ALL), 2, seed=0)).astype(int)
    queries = homologous_grid.choose_queries(torch.tensor([[[0, 1], [1, 0]]]), 2, 0)[0]
    for source in range(2):
        x, y = image_grid.panel_place(0, 2 + source, (128, 128), texts=True)
        assert (grid[y - 2, x : x + 128] == image_grid.COLORS[source]).all()
        patches = grid[y : y + 128, x : x + 128].reshape(2, 64, 2, 64, 3).swapaxes(1, 2).reshape(4, 64, 64, 3)
        assert [(patch[1, 1:-1] == 0).all() for patch in patches] == [i == queries[source] for i in range(4)]


def test_the_caption_gives_block_precision_and_chance():
    said = homologous_grid.describe_homologous(two_by_two([[1.0, 0.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.0]] * 2))
    # patches 0 to 3 are of sources 0 1 1 0: of the keys of query 0 all are right, of 1 half, of 2 none, of 3 half
    assert said.startswith('Block 11, mean of 2 heads: the keys that a query (framed) keeps')
    assert said.endswith('Of the keys kept by all patches, 50% are of their own image (by chance 50%).')
    three = two_by_two(ALL, assignment=((0, NOBODY), (1, 0)))
    assert homologous_grid.describe_homologous(three).endswith('(by chance 56%).')  # 5 of the 9 pairs that are shown
