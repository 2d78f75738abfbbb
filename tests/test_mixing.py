"""The mixing core, against loops written out, properties, and examples made by hand."""

import pytest
import torch

from mixmae_mm.mixing import (
    NOBODY,
    gather_tokens,
    group_images,
    mix,
    mix_images,
    patchify,
    random_assignment,
    resize_assignment,
    scatter_tokens,
    split_cells,
    take_turns,
    unmix,
    visible,
    visible_ids,
)

SOURCES = [2, 3, 4, 8]
GRIDS = [(7, 7), (5, 9), (2, 6)]


@pytest.mark.parametrize(
    ('cells', 'sources', 'ratio', 'counts'),
    [
        (49, 2, None, [25, 24]),
        (49, 2, 0.5, [25, 24]),
        (49, 2, 0.25, [37, 12]),
        (49, 2, 0.4, [30, 19]),
        (49, 2, 0.75, [13, 36]),
        (196, 4, None, [49, 49, 49, 49]),
        (196, 8, None, [25, 25, 25, 25, 24, 24, 24, 24]),
        (50, 3, 0.5, [25, 13, 12]),
        (9, 1, None, [9]),
        (196, 1, 0.75, [49]),
    ],
)
def test_cells_of_each_source(cells, sources, ratio, counts):
    assert split_cells(cells, sources, ratio) == counts


@pytest.mark.parametrize(
    ('cells', 'shares', 'counts'),
    [
        (196, (0.4, 0.3, 0.2, 0.1), [78, 59, 39, 20]),  # 78.4, 58.8, 39.2, 19.6
        (16, (0.25,), [4]),
        (10, (0.5, 0.25), [5, 3]),  # 7.5 are asked for, so 8 in all
        (10, (1 / 3, 1 / 3, 1 / 3), [4, 3, 3]),
    ],
)
def test_cells_by_shares(cells, shares, counts):
    assert split_cells(cells, len(shares), shares=shares) == counts


@pytest.mark.parametrize(
    ('cells', 'sources', 'settings', 'wish'),
    [
        (3, 4, {}, 'a mask_ratio of None'),
        (49, 2, dict(mask_ratio=0.0), 'a mask_ratio of 0.0'),
        (49, 1, dict(mask_ratio=1.0), 'a mask_ratio of 1.0'),
        (49, 0, {}, 'a mask_ratio of None'),
        (9, 2, dict(shares=(0.95, 0.01)), 'shares .*'),
        (9, 2, dict(shares=(0.8, 0.8)), 'shares .*'),
        (9, 2, dict(shares=(0.5, 0.3, 0.2)), 'shares .*'),
    ],
)
def test_splits_that_leave_a_source_out_are_refused(cells, sources, settings, wish):
    with pytest.raises(ValueError, match=f'{cells} cells with {wish} .* {sources} sources'):
        split_cells(cells, sources, **settings)


@pytest.mark.parametrize('sources', SOURCES)
@pytest.mark.parametrize('grid', GRIDS)
def test_every_source_gets_its_share(sources, grid):
    assignment = random_assignment(6, grid, sources)
    assert assignment.shape == (6, *grid)
    counts = [torch.bincount(one.flatten(), minlength=sources).tolist() for one in assignment]
    assert counts == [split_cells(grid[0] * grid[1], sources)] * 6


def test_all_arrangements_are_equally_likely():
    drawn = random_assignment(12000, 4, 2)
    codes = torch.bincount((drawn * torch.tensor([8, 4, 2, 1])).sum(1), minlength=16)
    seen = codes[codes > 0]
    assert len(seen) == 6
    # 2000 expected each, standard deviation 41
    assert (seen - 2000).abs().max() < 200


@pytest.mark.parametrize('sources', SOURCES)
def test_mixing_against_loops(sources):
    tokens, assignment = torch.randn(3, sources, 12, 5), random_assignment(3, 12, sources)
    mixed = mix(tokens, assignment)
    for group in range(3):
        for cell in range(12):
            assert torch.equal(mixed[group, cell], tokens[group, assignment[group, cell], cell])


@pytest.mark.parametrize('sources', SOURCES)
def test_renaming_sources_leaves_the_mixture(sources):
    images, assignment = torch.randn(2, sources, 16, 3), random_assignment(2, 16, sources)
    order = torch.randperm(sources)
    assert torch.equal(mix(images[:, order], order.argsort()[assignment]), mix(images, assignment))


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float64])
def test_unmixing_keeps_the_type_of_the_tokens(dtype):
    """Under autocast tokens are of half precision and the mask token is not: float32 would double the memory."""
    tokens = torch.randn(1, 4, 3).to(dtype)
    back = unmix(tokens, torch.tensor([[0, 1, 0, 1]]), torch.full((3,), 7.0), 2)
    assert back.dtype == dtype
    expected = torch.full((4, 3), 7.0, dtype=dtype)
    expected[::2] = tokens[0, ::2]
    assert torch.equal(back[0, 0], expected)


@pytest.mark.parametrize('sources', SOURCES)
def test_unmixing_returns_the_tokens_of_each_source(sources):
    tokens, assignment = torch.randn(3, sources, 12, 5), random_assignment(3, 12, sources)
    fill = torch.randn(5)
    back = unmix(mix(tokens, assignment), assignment, fill, sources)
    for group in range(3):
        for source in range(sources):
            for cell in range(12):
                visible_here = assignment[group, cell] == source
                assert torch.equal(back[group, source, cell], tokens[group, source, cell] if visible_here else fill)


@pytest.mark.parametrize('sources', SOURCES)
def test_turns_show_every_cell_of_every_source_once(sources):
    names = torch.arange(3 * sources).view(3, sources, 1, 1).expand(-1, -1, 10, 1)
    turns = take_turns(names)
    mixed = mix(turns, random_assignment(1, 10, sources)).view(3, sources, 10)
    for group in range(3):
        for cell in range(10):
            assert sorted(mixed[group, :, cell].tolist()) == names[group, :, 0, 0].tolist()


def test_a_finer_map_repeats_cells_as_blocks():
    finer = resize_assignment(torch.tensor([[[0, 1, 2], [3, 0, 1]]]), (4, 9))
    assert finer[0].tolist() == [
        [0, 0, 0, 1, 1, 1, 2, 2, 2],
        [0, 0, 0, 1, 1, 1, 2, 2, 2],
        [3, 3, 3, 0, 0, 0, 1, 1, 1],
        [3, 3, 3, 0, 0, 0, 1, 1, 1],
    ]


def test_a_grid_that_cuts_cells_is_refused():
    with pytest.raises(ValueError, match='7 x 7 cells does not fit a grid of 50 x 56'):
        resize_assignment(random_assignment(1, (7, 7), 2), (50, 56))


@pytest.mark.parametrize(('batch', 'sources'), [(7, 2), (6, 4), (0, 2)])
def test_an_uneven_batch_is_refused(batch, sources):
    with pytest.raises(ValueError, match=f'batch of {batch} images .* groups of {sources}'):
        group_images(torch.zeros(batch, 3), sources)


def test_cells_are_ordered_row_column_channel():
    image = torch.arange(2 * 4 * 6).view(2, 4, 6)
    cells = patchify(image, 2)
    assert cells.shape == (6, 8)
    assert cells[4].tolist() == [image[c, 2 + y, 2 + x] for y in range(2) for x in range(2) for c in range(2)]


def test_what_remains_is_nobodys():
    assignment = random_assignment(50, (4, 4), 2, shares=(0.25, 0.5))
    for source, count in ((0, 4), (1, 8), (NOBODY, 4)):
        assert ((assignment == source).flatten(1).sum(1) == count).all()
    assert (assignment == NOBODY).flatten(1).any(0).all()  # every place at some time


def test_nobody_fills_a_cell_with_0():
    sources = torch.randn(2, 3, 1, 4, 4)
    assignment = torch.tensor([[[0, NOBODY], [2, 1]]])
    mixed = mix_images(sources, assignment)
    assert torch.equal(mixed[:, :, :2, 2:], torch.zeros(2, 1, 2, 2))
    assert torch.equal(mixed[:, :, 2:, :2], sources[:, 2, :, 2:, :2])
    assert not visible(assignment, 3)[0, :, 0, 1].any()
    filled = unmix(torch.ones(1, 4, 1), assignment.flatten(1), torch.full((1,), 7.0), 3)
    assert filled[0, :, :, 0].tolist() == [[1, 7, 7, 7], [7, 7, 7, 1], [7, 7, 1, 7]]


def test_visible_cells_are_gathered_and_scattered():
    assignment = random_assignment(6, 12, 1, 0.75)
    cells = visible_ids(assignment, 3)
    assert cells.tolist() == [[i for i in range(12) if row[i] != NOBODY] for row in assignment.tolist()]
    tokens = torch.randn(6, 12, 5)
    back = scatter_tokens(gather_tokens(tokens, cells), cells, 12)
    assert torch.equal(back, torch.where((assignment == NOBODY)[..., None], 0.0, tokens))
    shared = gather_tokens(tokens, cells[:1])
    assert torch.equal(shared, tokens[:, cells[0]])
