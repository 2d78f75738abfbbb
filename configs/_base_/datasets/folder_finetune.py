"""Small images in train/ and val/, one folder per class, with light augmentation; for the micro models.

Images already have the model's input size: training resizes crops back to it, testing does not resize.
"""

extensions = [  # the same as in pre-training (mixmae_mm.datasets.EXTENSIONS)
    '.avif', '.bmp', '.dib', '.gif', '.j2k', '.jfif', '.jp2', '.jpe', '.jpeg', '.jpg', '.pbm', '.pgm', '.png', '.pnm',
    '.ppm', '.tif', '.tiff', '.webp',
]  # fmt: skip

data_root = 'data/materials'

train_pipeline = [
    dict(type='mixmae_mm.SeedSample'),
    dict(type='mixmae_mm.LoadImage', mode='BGR'),
    dict(
        type='mmpretrain.RandomResizedCrop',
        scale=64,
        crop_ratio_range=(0.3, 1.0),
        backend='pillow',
        interpolation='bicubic',
    ),
    dict(type='mmpretrain.RandomFlip', prob=0.5),
    dict(type='mmpretrain.PackInputs'),
]

test_pipeline = [
    dict(type='mixmae_mm.LoadImage', mode='BGR'),
    dict(type='mmpretrain.PackInputs'),
]

train_dataloader = dict(
    batch_size=64,
    num_workers=2,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='mixmae_mm.SeededSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mmpretrain.CustomDataset',
        data_root=data_root,
        data_prefix='train',
        extensions=extensions,
        pipeline=train_pipeline,
    ),
)

val_dataloader = dict(
    batch_size=128,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mmpretrain.CustomDataset',
        data_root=data_root,
        data_prefix='val',
        extensions=extensions,
        pipeline=test_pipeline,
    ),
)
val_evaluator = dict(type='mmpretrain.Accuracy', topk=(1,))

test_dataloader = val_dataloader
test_evaluator = val_evaluator
