"""Names of any bytes, where downstream libraries draw them."""

import numpy as np
import pytest
import torch
from mmengine.visualization import Visualizer


def drawn(text):
    """Draw a text in white on black."""
    visualizer = Visualizer(image=np.zeros((40, 200, 3), np.uint8))
    visualizer.draw_texts(text, np.array([5, 5]), colors='w')
    return visualizer.get_image()


def test_bytes_that_are_no_text_are_spelled_out():
    np.testing.assert_array_equal(drawn('a\udcff'), drawn(r'a\xff'))


def test_lines_stay_lines():
    rows = [np.flatnonzero(drawn(text).any((1, 2))) for text in ('a', 'a\na')]
    assert rows[1].max() > rows[0].max() + 5


def test_dollar_signs_are_no_formula():
    assert drawn('$x_{$').any()  # as a formula it is an error
    assert drawn('$a$').any((0, 2)).sum() > drawn('a').any((0, 2)).sum()


def test_what_mmpretrain_writes_by_itself():
    pytest.importorskip('mmpretrain', reason='named in configs, not needed by the package')
    from mmpretrain.structures import DataSample
    from mmpretrain.visualization import UniversalVisualizer

    sample = DataSample().set_pred_label(0).set_pred_score(torch.ones(1))
    drawn = [
        UniversalVisualizer().visualize_cls(np.zeros((64, 64, 3), np.uint8), sample, classes=[name])
        for name in ('a\udcff', r'a\xff')
    ]
    np.testing.assert_array_equal(*drawn)
