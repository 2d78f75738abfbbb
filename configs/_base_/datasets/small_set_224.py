"""A smaller dataset at 224 px with the official fine-tuning augmentation; configs set class, folder and splits.

That MixedAE was evaluated on eleven such sets is a recollection; we have neither the recipe nor the results.
"""

_base_ = './in1k_finetune_224.py'

train_dataloader = dict(dataset=dict(_delete_=True, split='train', pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(_delete_=True, split='test', pipeline=_base_.test_pipeline))
test_dataloader = val_dataloader

val_evaluator = [dict(type='mmpretrain.Accuracy', topk=(1,))]
test_evaluator = val_evaluator
