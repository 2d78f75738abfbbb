"""CIFAR-10 or CIFAR-100 at 224 px with the official fine-tuning augmentation; images are RGB arrays in memory."""

_base_ = './in1k_finetune_224.py'

from_memory = [dict(type='mmpretrain.NumpyToPIL'), dict(type='mmpretrain.PILToNumpy', to_bgr=True)]
train_pipeline, test_pipeline = (
    [new for step in steps for new in (from_memory if step['type'] == 'mixmae_mm.LoadImage' else [step])]
    for steps in (_base_.train_pipeline, _base_.test_pipeline)
)

train_dataloader = dict(dataset=dict(_delete_=True, split='train', download=False, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(_delete_=True, split='test', download=False, pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = [dict(type='mmpretrain.Accuracy', topk=(1,))]
test_evaluator = val_evaluator
