"""Robustness of the base encoder, fine-tuned on ImageNet-1k: a test on ImageNet-R.

    python tools/test.py configs/classification/mixmim-swin-base-w14_imagenet-r.py CLASSIFIER.pth

CLASSIFIER.pth is a checkpoint of mixmim-swin-base-w14_8xb128-amp-coslr-100e_in1k.py.
Data, and restriction of the outputs to its classes: configs/_base_/datasets/imagenet_r.py.

Untuned, since there is nothing to tune. No result of MixMAE is published. Not run here.
"""

_base_ = [
    '../_base_/models/mixmim-swin-base_classifier.py',
    '../_base_/datasets/imagenet_r.py',
    '../_base_/default_runtime.py',
]

num_classes = 200

model = dict(data_preprocessor=dict(num_classes=num_classes), head=dict(num_classes=num_classes))
