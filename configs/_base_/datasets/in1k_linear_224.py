"""ImageNet-1k at 224 px for a frozen encoder: random crops and flips only."""

_base_ = './in1k_finetune_224.py'

train_pipeline = [step for step in _base_.train_pipeline if not step['type'].endswith(('RandAugment', 'RandomErasing'))]

train_dataloader = dict(batch_size=2048, dataset=dict(pipeline=train_pipeline))
