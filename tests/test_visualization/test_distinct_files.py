"""Drawings of images of equal names, as the hooks of downstream libraries ask for them."""

import copy
from types import SimpleNamespace

import pytest
from mmengine.structures import BaseDataElement

from mixmae_mm.visualization.distinct_files import DistinctFiles, keep_apart


@pytest.mark.parametrize(
    'ask',
    [
        lambda visualizer, sample: visualizer.visualize_cls(image=0, data_sample=sample, name='x', out_file='1.png'),
        lambda visualizer, sample: visualizer.add_datasample('x', 0, data_sample=sample, out_file='1.png'),
        lambda visualizer, sample: visualizer.add_datasample('1.png', 0, data_sample=sample, out_file=None),
    ],
)
def test_drawings_of_equal_names_do_not_replace_each_other(ask):
    drawn = []
    inner = SimpleNamespace(
        visualize_cls=lambda **given: drawn.append(given['out_file']),
        add_datasample=lambda name, image, **given: drawn.append(given['out_file'] or name),
        close='kept',
    )
    runner = SimpleNamespace(hooks=[SimpleNamespace(_visualizer=inner), SimpleNamespace()])
    keep_apart(runner)
    for folder in 'abac':
        sample = BaseDataElement(metainfo=dict(img_path=f'{folder}/1.jpg'))
        ask(runner.hooks[0]._visualizer, sample)
    assert drawn == ['1.png', '1-2.png', '1.png', '1-3.png']
    assert runner.hooks[0]._visualizer.close == 'kept'


def test_it_can_be_copied():
    assert copy.deepcopy(DistinctFiles(SimpleNamespace(close='kept'))).close == 'kept'
