"""Fine-tuning of the base encoder on iNaturalist 2018 (8142 species).

    tools/dist_train.sh configs/classification/mixmim-swin-base-w14_8xb128-amp-coslr-100e_inat18.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

data/inat18 holds `train_val2018/` as published, and `train.txt` and `val.txt` with one line "file label" per image.
These are `file_name`, relative to data/inat18, and `category_id` in train2018.json and val2018.json.

Untuned: the ImageNet recipe with this number of classes; we do not have the paper's settings and result.
"""

_base_ = './mixmim-swin-base-w14_8xb128-amp-coslr-100e_in1k.py'

num_classes = 8142
data_root = 'data/inat18'

model = dict(data_preprocessor=dict(num_classes=num_classes), head=dict(num_classes=num_classes))

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmpretrain.CustomDataset',
        data_root=data_root,
        ann_file='train.txt',
        extensions=_base_.extensions,
        pipeline=_base_.train_pipeline,
    ),
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmpretrain.CustomDataset',
        data_root=data_root,
        ann_file='val.txt',
        extensions=_base_.extensions,
        pipeline=_base_.test_pipeline,
    ),
)
test_dataloader = val_dataloader
