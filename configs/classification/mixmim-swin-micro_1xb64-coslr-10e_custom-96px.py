"""Fine-tuning of the micro encoder at 96 px on your own folders of classes, on a CPU.

    python tools/train.py configs/classification/mixmim-swin-micro_1xb64-coslr-10e_custom-96px.py \
        --cfg-options {train,val,test}_dataloader.dataset.data_root=/your/folder \
        model.backbone.init_cfg.checkpoint=PRETRAINED.pth

`/your/folder` holds train/ and val/, each with one folder per class, which set the number of classes. Untuned.
"""

_base_ = './mixmim-swin-micro_1xb64-coslr-10e_imagenette-96px.py'

data_root = 'data/custom'

model = dict(head=dict(num_classes='auto'))  # the number of class folders
test_pipeline = [
    dict(type='mixmae_mm.LoadImage', mode='BGR'),
    dict(
        type='mmpretrain.ResizeEdge',
        scale=int(_base_.image_size / 0.875),
        edge='short',
        backend='pillow',
        interpolation='bicubic',
    ),
    dict(type='mmpretrain.CenterCrop', crop_size=_base_.image_size),
    dict(type='mmpretrain.PackInputs'),
]
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
