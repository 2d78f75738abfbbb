"""Fine-tuning of the base encoder on Places205 (2.4 million images).

    tools/dist_train.sh configs/classification/mixmim-swin-base-w14_8xb128-amp-coslr-100e_places205.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

data/places205 holds the two unpacked archives: `data/vision/...` and `trainvalsplit_places205/`.

Untuned: the ImageNet recipe with this number of classes; we do not have the paper's settings. (A later paper
credits the large model with 69.3 top-1.)
"""

_base_ = './mixmim-swin-base-w14_8xb128-amp-coslr-100e_in1k.py'

num_classes = 205
data_root = 'data/places205'
images = 'data/vision/torralba/deeplearning/images256'

model = dict(data_preprocessor=dict(num_classes=num_classes), head=dict(num_classes=num_classes))

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmpretrain.Places205',
        data_root=data_root,
        data_prefix=images,
        ann_file='trainvalsplit_places205/train_places205.csv',
        pipeline=_base_.train_pipeline,
    ),
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmpretrain.Places205',
        data_root=data_root,
        data_prefix=images,
        ann_file='trainvalsplit_places205/val_places205.csv',
        pipeline=_base_.test_pipeline,
    ),
)
test_dataloader = val_dataloader
