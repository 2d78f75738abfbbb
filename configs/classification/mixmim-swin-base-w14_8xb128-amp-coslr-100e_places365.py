"""Fine-tuning of the base encoder on Places365 (1.8 million images).

    tools/dist_train.sh configs/classification/mixmim-swin-base-w14_8xb128-amp-coslr-100e_places365.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

data/places365 is the unpacked easy-format archive: `train/` and `val/`, each with one folder per class.

Untuned: the ImageNet recipe with this number of classes; we do not have the paper's settings and result.
"""

_base_ = './mixmim-swin-base-w14_8xb128-amp-coslr-100e_in1k.py'

num_classes = 365
data_root = 'data/places365'

model = dict(data_preprocessor=dict(num_classes=num_classes), head=dict(num_classes=num_classes))

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmpretrain.CustomDataset',
        data_root=data_root,
        data_prefix='train',
        extensions=_base_.extensions,
        pipeline=_base_.train_pipeline,
    ),
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmpretrain.CustomDataset',
        data_root=data_root,
        data_prefix='val',
        extensions=_base_.extensions,
        pipeline=_base_.test_pipeline,
    ),
)
test_dataloader = val_dataloader
