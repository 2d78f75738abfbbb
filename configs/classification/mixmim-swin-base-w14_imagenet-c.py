"""Robustness of the base encoder, fine-tuned on ImageNet-1k: a test on ImageNet-C.

    python tools/test.py configs/classification/mixmim-swin-base-w14_imagenet-c.py CLASSIFIER.pth

CLASSIFIER.pth is a checkpoint of mixmim-swin-base-w14_8xb128-amp-coslr-100e_in1k.py.
The data: configs/_base_/datasets/imagenet_c.py.

Untuned, since there is nothing to tune. No result of MixMAE is published. Not run here.
"""

_base_ = [
    '../_base_/models/mixmim-swin-base_classifier.py',
    '../_base_/datasets/imagenet_c.py',
    '../_base_/default_runtime.py',
]
