"""Robustness of the base ViT, fine-tuned on ImageNet-1k: a test on ImageNet-R.

    python tools/test.py configs/classification/vit-base-p16_imagenet-r.py CLASSIFIER.pth

CLASSIFIER.pth is a checkpoint of vit-base-p16_8xb128-amp-coslr-100e_in1k.py.
Data, and restriction of the outputs to its classes: configs/_base_/datasets/imagenet_r.py.

Reported by MAE's repository: 48.3 top-1; the same weights reach 83.6 on ImageNet-1k
(1600 epochs of pre-training). Not run here.
"""

_base_ = [
    '../_base_/models/vit-base_classifier.py',
    '../_base_/datasets/imagenet_r.py',
    '../_base_/default_runtime.py',
]

num_classes = 200

model = dict(data_preprocessor=dict(num_classes=num_classes), head=dict(num_classes=num_classes))
