"""ImageNet-Sketch (arXiv 1905.13549): 50,889 sketches of all 1000 classes.

It lies in data/imagenet-sketch as published, one folder per class, and is for testing only.
"""

_base_ = './in1k_finetune_224.py'

train_dataloader = None
val_dataloader = None
val_evaluator = None
test_cfg = dict()

test_dataloader = dict(dataset=dict(data_root='data/imagenet-sketch', split=''))
