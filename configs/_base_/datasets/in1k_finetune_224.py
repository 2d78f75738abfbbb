"""ImageNet-1k at 224 px with the official fine-tuning augmentation.

Pillow decodes and resizes, as in timm. Unlike in timm, random erasing draws its noise before normalization, with
ImageNet's mean and standard deviation, so the noise is clipped at black and white.
"""

extensions = [  # the same as in pre-training (mixmae_mm.datasets.EXTENSIONS)
    '.avif', '.bmp', '.dib', '.gif', '.j2k', '.jfif', '.jp2', '.jpe', '.jpeg', '.jpg', '.pbm', '.pgm', '.png', '.pnm',
    '.ppm', '.tif', '.tiff', '.webp',
]  # fmt: skip
image_size = 224
bgr_mean = [103.53, 116.28, 123.675]
bgr_std = [57.375, 57.12, 58.395]

train_pipeline = [
    dict(type='mixmae_mm.SeedSample'),
    dict(type='mixmae_mm.LoadImage', mode='BGR'),
    dict(type='mmpretrain.RandomResizedCrop', scale=image_size, backend='pillow', interpolation='bicubic'),
    dict(type='mmpretrain.RandomFlip', prob=0.5),
    dict(  # timm's rand-m9-mstd0.5-inc1
        type='mmpretrain.RandAugment',
        policies='timm_increasing',
        num_policies=2,
        magnitude_level=9,
        magnitude_std=0.5,
        hparams=dict(pad_val=[round(value) for value in bgr_mean], interpolation='bicubic'),
    ),
    dict(
        type='mmpretrain.RandomErasing',
        erase_prob=0.25,
        mode='rand',
        min_area_ratio=0.02,
        max_area_ratio=1 / 3,
        fill_color=bgr_mean,
        fill_std=bgr_std,
    ),
    dict(type='mmpretrain.PackInputs'),
]

test_pipeline = [
    dict(type='mixmae_mm.LoadImage', mode='BGR'),
    dict(
        type='mmpretrain.ResizeEdge',
        scale=int(image_size / 0.875),
        edge='short',
        backend='pillow',
        interpolation='bicubic',
    ),
    dict(type='mmpretrain.CenterCrop', crop_size=image_size),
    dict(type='mmpretrain.PackInputs'),
]

train_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type='mixmae_mm.SeededSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mmpretrain.ImageNet',
        data_root='data/imagenet',
        split='train',
        extensions=extensions,
        pipeline=train_pipeline,
    ),
)

val_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mmpretrain.ImageNet',
        data_root='data/imagenet',
        split='val',
        extensions=extensions,
        pipeline=test_pipeline,
    ),
)
val_evaluator = dict(type='mmpretrain.Accuracy', topk=(1, 5))

test_dataloader = val_dataloader
test_evaluator = val_evaluator
