"""Classes of several places, compared as plain data."""

import numpy as np

from mixmae_mm.engine.checks.classes import (
    OTHER_CLASSES,
    OTHER_ORDER,
    TOO_HIGH,
    Classes,
    compare_folders,
    compare_labels,
    compare_splits,
)

THREE = ('cat', 'cow', 'dog')


def compared(*names):
    """What is wrong with the splits a, b, ..."""
    return list(compare_splits([Classes(split, tuple(its)) for split, its in zip('abc', names, strict=False)]))


def test_each_class_is_named_with_the_splits_that_have_it():
    assert compared(THREE, THREE) == []
    only = [OTHER_CLASSES.at('Dog (only in c)'), OTHER_CLASSES.at('dog (only in a, b)')]
    assert compared(THREE, THREE, ('cat', 'cow', 'Dog')) == only
    assert compared(THREE, ('cow', 'cat', 'dog')) == [
        OTHER_ORDER.at('label 0 is cat in a and cow in b'),
        OTHER_ORDER.at('label 1 is cow in a and cat in b'),
    ]


def test_folders_against_the_names_of_a_config():
    def faults(folders, named):
        return [finding.what for finding in compare_folders('train', folders, named)]

    assert faults(THREE, ()) == faults(THREE, THREE) == []
    assert faults(('n01', 'n02'), ('tench', 'shark')) == []  # ImageNet's folders and their names in words
    assert faults(THREE, ('cow', 'cat', 'dog')) == [OTHER_ORDER.what] * 2
    assert faults(THREE, ('cat', 'cow', 'dgo')) == [OTHER_CLASSES.what] * 2
    assert '3 class folders, but the config has 2 classes' in faults(THREE, ('cat', 'cow'))
    assert faults(('train', 'val'), ()) == [TOO_HIGH.what] * 2


def test_labels_out_of_range():
    assert [one.case for one in compare_labels({0: 1, 3: 5, 4: 1, 9: 2}, 4)] == ['label 4', 'label 9']
    assert [one.case for one in compare_labels({'cat': 1, 0: 5, 1.5: 1}, 2)] == ['label 1.5', "label 'cat'"]
    assert list(compare_labels({0: 1, 1: 5}, 2)) == list(compare_labels({np.int64(0): 1, np.int64(1): 5}, 2)) == []
    (finding,) = compare_labels({0: 1, 2: 5}, 5)
    assert finding[:2] == ('warning', '2 of 5 classes have an image')
