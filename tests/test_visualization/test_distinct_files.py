"""Drawings of images of equal names, as the hooks of downstream libraries ask for them."""

from types import SimpleNamespace

import pytest
from mmengine.structures import BaseDataElement

from mixmae_mm.visualization.distinct_files import keep_apart


class Drawer:
    """As visualizers of mmdet, mmseg and mmpretrain."""

    def __init__(self):
        self.drawn = []

    def add_datasample(self, name, image, data_sample=None, out_file=None):
        self.drawn.append(out_file or name)

    def visualize_cls(self, image, data_sample, out_file=None, name=''):
        self.drawn.append(out_file or name)


@pytest.mark.parametrize(
    'draw',
    [
        lambda visualizer, sample: visualizer.visualize_cls(image=0, data_sample=sample, name='x', out_file='1.png'),
        lambda visualizer, sample: visualizer.add_datasample('x', 0, data_sample=sample, out_file='1.png'),
        lambda visualizer, sample: visualizer.add_datasample('1.png', 0, data_sample=sample, out_file=None),
    ],
)
def test_drawings_of_equal_names_do_not_replace_each_other(draw):
    visualizer = Drawer()
    keep_apart(SimpleNamespace(hooks=[SimpleNamespace(_visualizer=visualizer), SimpleNamespace()]))
    for folder in 'abac':
        draw(visualizer, BaseDataElement(metainfo=dict(img_path=f'{folder}/1.jpg')))
    assert visualizer.drawn == ['1.png', '1-2.png', '1.png', '1-3.png']
