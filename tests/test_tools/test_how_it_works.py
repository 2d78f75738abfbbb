"""The figures of docs/how-it-works.md are those that its script draws."""

import torch
from PIL import Image
from tool_loading import TOOLS, load_tool

drawing = load_tool('../docs/figures/how_it_works.py')


def test_the_mask_of_a_window_is_that_of_its_cells():
    assignment = torch.tensor([[0, 1], [1, 0]])
    mask = drawing.window_mask(assignment, side=64, stride=16, window=4)
    for query in range(16):
        for key in range(16):
            cells = [assignment[token // 4 // 2, token % 4 // 2] for token in (query, key)]
            assert mask[query, key] == (cells[0] == cells[1])


def test_both_figures_are_written(tmp_path):
    drawing.main(['--out', str(tmp_path)])
    sizes = {path.name: Image.open(path).size for path in tmp_path.iterdir()}
    assert sizes.keys() == {'how_mixmae_works.png', 'how_mixedae_works.png'}
    shown = Image.open(TOOLS.parent / 'docs/images/how_mixmae_works.png').size
    assert sizes['how_mixmae_works.png'] == shown
