"""A stand-in for mmcv's compiled ops where they are missing: those that a Mask R-CNN is trained with, by torchvision.

mmdet and mmseg import all of mmcv's ops, so neither can be imported beside an mmcv without them.
"""

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import torch
from torch import Tensor

AVERAGE = 1
"""mmcv's number of the pooling that torchvision has."""


class Ops(ModuleType):
    """Module `mmcv._ext` with mmcv's signatures; any other op is there, and raises when it is called."""

    @staticmethod
    def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
        """Return the indices of the boxes (N, 4) that are kept, best first."""
        _refuse(offset, 0, 'offset')
        return torch.ops.torchvision.nms(boxes, scores, iou_threshold)

    @staticmethod
    def roi_align_forward(images: Tensor, boxes: Tensor, output: Tensor, *argmax: Tensor, **pooling: object) -> None:
        """Fill the output (N, C, h, w) with the means of boxes (N, 5) of images (B, C, H, W)."""
        size, rest = _read(**pooling)
        output.copy_(torch.ops.torchvision.roi_align(images, boxes, *size, *rest))

    @staticmethod
    def roi_align_backward(grad_output: Tensor, boxes: Tensor, *argmax_and_grad: Tensor, **pooling: object) -> None:
        """Fill the last tensor, the gradient of the images."""
        (size, rest), grad = _read(**pooling), argmax_and_grad[-1]
        inputs = grad_output.float(), boxes.float()  # sums in float16 overflow early
        grad.copy_(torch.ops.torchvision._roi_align_backward(*inputs, *size, *grad.shape, *rest))

    def __getattr__(self, name: str) -> object:
        """Return a function that raises."""
        if name.startswith('__'):
            raise AttributeError(name)

        def missing(*args: object, **settings: object) -> None:
            raise NotImplementedError(f"mmcv's op {name} is not compiled here")

        return missing


def _read(
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> tuple[tuple[float, int, int], tuple[int, bool]]:
    """Return mmcv's settings of a pooling in the order of torchvision's, before and after the sizes of the images."""
    _refuse(pool_mode, AVERAGE, 'pool_mode')
    return (spatial_scale, aligned_height, aligned_width), (sampling_ratio, aligned)


def _refuse(value: int, possible: int, name: str) -> None:
    """Raise NotImplementedError for what torchvision does not have."""
    if value != possible:
        raise NotImplementedError(f'{name}={value}: torchvision has {possible} only')


def stand_in() -> bool:
    """Stand in for the compiled ops, or return False where they are there."""
    if 'mmcv._ext' not in sys.modules and importlib.util.find_spec('mmcv._ext') is None:
        importlib.import_module('torchvision')  # for `torch.ops.torchvision`
        ops = Ops('mmcv._ext')
        ops.__spec__ = ModuleSpec(ops.__name__, None)
        sys.modules[ops.__name__] = ops
    return isinstance(sys.modules.get('mmcv._ext'), Ops)
