import pytest
import torch

from mixmae_mm.engine.hooks.throughput import Meter, count_images


def test_meter_divides_sums_over_its_window():
    meter = Meter(window=2)
    meter.add(1000, 50.0, 100.0)  # drops out
    meter.add(64, 0.5, 2.0)
    meter.add(32, 1.0, 1.0)
    assert meter.seconds == 3.0
    assert meter.images_per_second == 96 / 3
    assert meter.data_wait == 1.5 / 3


def test_meter_without_time_does_not_divide_by_zero():
    meter = Meter(window=2)
    meter.add(8, 0.0, 0.0)
    assert meter.data_wait == 0
    assert meter.images_per_second == pytest.approx(8e9)


@pytest.mark.parametrize(
    ('batch', 'images'),
    [
        (dict(inputs=torch.zeros(5, 3, 4, 4), data_samples=[None] * 5), 5),
        (dict(inputs=torch.zeros(5, 3, 4, 4)), 5),
        (dict(inputs=[torch.zeros(3, 4, 4)] * 6, data_samples=None), 6),
        # Two views of each of 4 images, as contrastive methods load them.
        (dict(inputs=[torch.zeros(4, 3, 2, 2)] * 2, data_samples=[None] * 4), 4),
        ((torch.zeros(7, 3), torch.zeros(7)), 7),
        ({}, 0),
        ([], 0),
        (None, 0),
        ((torch.tensor(3.0),), 0),
    ],
)
def test_images_are_counted_in_every_kind_of_batch(batch, images):
    assert count_images(batch) == images
