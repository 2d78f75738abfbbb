"""SimMIM by mmpretrain on Imagenette at 96 px, on a CPU: a baseline to compare MixMAE with (docs/studies.md).

    python tools/train.py configs/simmim/simmim_swin-micro_1xb64-coslr-40e_imagenette-96px.py

Encoder, images, augmentation and schedule are those of mixmae_swin-micro_1xb64-coslr-40e_imagenette-96px.py. As in
SimMIM, 60 % of the cells are masked, and the loss is L1 on their pixels. Untuned.
"""

_base_ = [
    '../_base_/datasets/images_224.py',
    '../_base_/schedules/pretrain_bs64_micro.py',
    '../_base_/default_runtime.py',
]

image_size = 96
patch_size = 4
cell_size = patch_size * 4  # three stages
embed_dims = 32
window_size = 6

model = dict(
    type='mmpretrain.SimMIM',
    data_preprocessor=dict(
        type='mmpretrain.SelfSupDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
    backbone=dict(
        type='mmpretrain.SimMIMSwinTransformer',
        arch=dict(embed_dims=embed_dims, depths=[2, 2, 2], num_heads=[1, 2, 4]),
        img_size=image_size,
        stage_cfgs=dict(block_cfgs=dict(window_size=window_size)),  # the class itself has no window_size argument
        pad_small_map=True,
        drop_path_rate=0.0,
        out_indices=(2,),
    ),
    neck=dict(type='mmpretrain.SimMIMLinearDecoder', in_channels=embed_dims * 4, encoder_stride=cell_size),
    head=dict(
        type='mmpretrain.SimMIMHead',
        patch_size=patch_size,
        loss=dict(type='mmpretrain.PixelReconstructionLoss', criterion='L1', channel=3),
    ),
)

train_pipeline = [
    dict(type='mixmae_mm.SeedSample'),
    dict(type='mixmae_mm.LoadRandomResizedCrop', scale=image_size, crop_ratio_range=(0.2, 1.0)),
    dict(type='mmpretrain.RandomFlip', prob=0.5),
    dict(
        type='mmpretrain.SimMIMMaskGenerator',
        input_size=image_size,
        mask_patch_size=cell_size,
        model_patch_size=patch_size,
        mask_ratio=0.6,
    ),
    dict(type='mmpretrain.PackInputs'),
]
train_dataloader = dict(
    batch_size=_base_.batch_size,
    num_workers=2,
    pin_memory=False,
    dataset=dict(data_root='data/imagenette_96/train', pipeline=train_pipeline),
)

default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=10))
