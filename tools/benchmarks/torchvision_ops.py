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
    def roi_align_forward(
        images: Tensor,
        boxes: Tensor,
        output: Tensor,
        *argmax: Tensor,
        aligned_height: int,
        aligned_width: int,
        spatial_scale: float,
        sampling_ratio: int,
        pool_mode: int,
        aligned: bool,
    ) -> None:
        """Fill the output (N, C, h, w) with the means of boxes (N, 5) of images (B, C, H, W)."""
        _refuse(pool_mode, AVERAGE, 'pool_mode')
        size = aligned_height, aligned_width
        pooled = torch.ops.torchvision.roi_align(images, boxes, spatial_scale, *size, sampling_ratio, aligned)
        output.copy_(pooled)

    @staticmethod
    def roi_align_backward(
        grad_output: Tensor,
        boxes: Tensor,
        *argmax_and_grad: Tensor,
        aligned_height: int,
        aligned_width: int,
        spatial_scale: float,
        sampling_ratio: int,
        pool_mode: int,
        aligned: bool,
    ) -> None:
        """Fill the last tensor, the gradient of the images."""
        _refuse(pool_mode, AVERAGE, 'pool_mode')
        grad, size = argmax_and_grad[-1], (aligned_height, aligned_width)
        backward = torch.ops.torchvision._roi_align_backward
        inputs = grad_output.float(), boxes.float()  # sums in float16 overflow early
        grad.copy_(backward(*inputs, spatial_scale, *size, *grad.shape, sampling_ratio, aligned))

    def __getattr__(self, name: str) -> object:
        """Return a function that raises."""
        if name.startswith('__'):
            raise AttributeError(name)

        def missing(*args: object, **settings: object) -> None:
            raise NotImplementedError(f"mmcv's op {name} is not compiled here")

        return missing


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
