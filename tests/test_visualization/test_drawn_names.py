"""Names of any bytes, where downstream libraries draw them."""

import numpy as np
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
