"""Pre-training images at 224 px: crops of 20 to 100 % of the area, half of them flipped, without other augmentation."""

train_pipeline = [
    dict(type='mixmae_mm.SeedSample'),
    dict(type='mixmae_mm.LoadRandomResizedCrop', scale=224, crop_ratio_range=(0.2, 1.0)),
    dict(type='mmpretrain.RandomFlip', prob=0.5),
    dict(type='mmpretrain.PackInputs'),
]

train_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,  # a smaller last batch might not split into groups
    sampler=dict(type='mixmae_mm.SeededSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mixmae_mm.ImageFolder',
        data_root='data/imagenet/train',
        pipeline=train_pipeline,
    ),
)
