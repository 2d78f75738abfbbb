"""Your own classes at 224 px: one folder per class in train/ and val/, with the official fine-tuning augmentation."""

_base_ = './in1k_finetune_224.py'

data_root = 'data/custom'

_own = dict(_delete_=True, type='mmpretrain.CustomDataset', data_root=data_root, extensions=_base_.extensions)
train_dataloader = dict(batch_size=64, dataset=dict(_own, data_prefix='train', pipeline=_base_.train_pipeline))
val_dataloader = dict(batch_size=64, dataset=dict(_own, data_prefix='val', pipeline=_base_.test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(_delete_=True, type='mmpretrain.Accuracy', topk=(1,))
test_evaluator = val_evaluator
