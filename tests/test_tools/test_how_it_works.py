"""The drawings of docs/how-it-works.md show what is computed."""

import pytest
import torch
from PIL import Image
from tool_loading import load_tool

drawing = load_tool('visualization/how_it_works.py')


def test_the_mask_of_a_window_is_that_of_its_cells():
    assignment = torch.tensor([[0, 1], [1, 0]])
    mask = drawing.window_mask(assignment, side=64, stride=16, window=4)
    for query in range(16):
        for key in range(16):
            cells = [assignment[token // 4 // 2, token % 4 // 2] for token in (query, key)]
            assert mask[query, key] == (cells[0] == cells[1])


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    return drawing.load_mixedae(str(drawing.ROOT / drawing.MICRO), None)


def test_each_head_keeps_a_quarter_of_the_keys(model):
    images = model.data_preprocessor.normalize(drawing.scenes(4, 96) * 255)
    share = drawing.kept_keys(model, model.data_preprocessor.mix(images), 5)
    assert share.shape == (144, 144)
    torch.testing.assert_close(share.sum(dim=1), torch.full((144,), 36.0))
    assert set(share.unique().tolist()) <= {0, 0.25, 0.5, 0.75, 1}  # of four heads


def test_both_images_are_written(tmp_path):
    drawing.main(['--out', str(tmp_path)])
    sizes = {path.name: Image.open(path).size for path in tmp_path.iterdir()}
    assert sizes.keys() == {drawing.MIXMAE, drawing.MIXEDAE}
    shown = {path.name: Image.open(path).size for path in (drawing.ROOT / 'docs/images').glob('how_*')}
    assert sizes[drawing.MIXMAE] == shown[drawing.MIXMAE]
