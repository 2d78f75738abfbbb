"""ImageNet-Sketch (arXiv 1905.13549): 50,889 sketches of all 1000 classes.

data/imagenet-sketch as published, a folder for each class. Training is that on ImageNet-1k.
"""

_base_ = './in1k_finetune_224.py'

test_dataloader = dict(dataset=dict(data_root='data/imagenet-sketch', split=''))
