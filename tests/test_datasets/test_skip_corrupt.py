"""Samples of labeled datasets whose files or masks are broken, skipped by the pipeline they go through."""

import pickle

import numpy as np
import pytest
from mmengine.dataset import BaseDataset, ConcatDataset, RepeatDataset
from mmengine.structures import BaseDataElement

from mixmae_mm.datasets.skip_corrupt import mask_fault, skip_corrupt
from mixmae_mm.engine.hooks.corrupt_images import corrupt_counts


class LoadNumber:
    """Reads what is a number."""

    def __call__(self, results):
        return results | dict(value=float(results['text']), gt_seg_map=results.get('mask'), ori_shape=(2, 2))


class Invert:
    """Cannot take 0, through no fault of a file."""

    def __call__(self, results):
        return results | dict(value=1 / results['value'])


class Pack:
    """Packs as other libraries do."""

    def __call__(self, results):
        return dict(inputs=results['value'], data_samples=BaseDataElement())


class Texts(BaseDataset):
    """Numbers as texts; what is None in `masks` has none."""

    def __init__(self, texts, masks=None, **settings):
        self.texts, self.masks = texts, masks or [None] * len(texts)
        super().__init__(pipeline=[LoadNumber(), Invert(), Pack()], **settings)

    def load_data_list(self):
        rows = enumerate(zip(self.texts, self.masks, strict=True))
        return [dict(text=text, mask=mask, img_path=f'/data/{row}', img_id=10 + row) for row, (text, mask) in rows]


def test_in_evaluation_the_next_sound_sample_stands_in_and_is_marked():
    dataset = Texts(['1', '?', '?', '4'], test_mode=True)
    skip_corrupt(dataset, evaluating=True, num_classes=None)
    values = [dataset[index]['inputs'] for index in range(4)]
    marks = [dataset[index]['data_samples'].get('left_out') for index in range(4)]
    assert values == [1, 1 / 4, 1 / 4, 1 / 4]
    assert marks == [None, dict(img_path='/data/1', img_id=11), dict(img_path='/data/2', img_id=12), None]
    assert dataset.pipeline.corrupt.indices() == [1, 2]


def test_in_training_another_is_drawn():
    np.random.seed(0)
    dataset = Texts(['1', '?', '2'])
    skip_corrupt(dataset, evaluating=False, num_classes=None)
    drawn = [dataset[1] for _ in range(20)]
    assert {one['inputs'] for one in drawn} == {1, 1 / 2}
    assert all('left_out' not in one['data_samples'] for one in drawn)


def test_what_a_transform_raises_that_does_not_load_is_raised():
    dataset = Texts(['1', '0'])
    skip_corrupt(dataset, evaluating=False, num_classes=None)
    with pytest.raises(ZeroDivisionError):
        dataset[1]


def test_masks_with_other_labels_or_sizes_are_broken_samples():
    sound = np.array([[0, 2], [255, 1]], np.uint8)
    assert mask_fault(dict(gt_seg_map=sound, ori_shape=(2, 2)), 3, 255) == ''
    assert 'label 2, but classes are 0 to 1' in mask_fault(dict(gt_seg_map=sound, ori_shape=(2, 2)), 2, 255)
    assert 'label 255' in mask_fault(dict(gt_seg_map=sound), 3, 254)
    assert 'mask is 2 x 2, the image 5 x 3' in mask_fault(dict(gt_seg_map=sound, ori_shape=(3, 5)), 3, 255)
    for of_mmseg, expected in ((True, [1 / 2, 1 / 2]), (False, [1, 1 / 2])):  # mmdet's masks may have stuff besides
        dataset = Texts(['1', '2'], [sound + np.uint8(3), sound])
        if of_mmseg:
            dataset.reduce_zero_label = False
        skip_corrupt(dataset, evaluating=True, num_classes=3)
        assert [dataset[index]['inputs'] for index in (0, 1)] == expected


def test_datasets_that_are_repeated_and_joined():
    joined, repeated = ConcatDataset([Texts(['1', '?']), Texts(['?', '4'])]), RepeatDataset(Texts(['?', '2']), times=2)
    for dataset in (joined, repeated):
        skip_corrupt(dataset, evaluating=True, num_classes=None)
    assert [joined[index]['inputs'] for index in range(4)] == [1, 1, 1 / 4, 1 / 4]
    assert [repeated[index]['inputs'] for index in range(4)] == [1 / 2] * 4
    found = [count.indices() for dataset in (joined, repeated) for _, count in corrupt_counts(dataset)]
    assert found == [[1], [0], [0]]


def test_workers_of_any_kind_get_it():
    dataset = Texts(['1', '?'])
    skip_corrupt(dataset, evaluating=True, num_classes=None)
    assert pickle.loads(pickle.dumps(dataset))[1]['inputs'] == 1
