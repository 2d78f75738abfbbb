"""ImageNet-C (arXiv 1903.12261): the 50,000 validation images with 15 corruptions at 5 severities each.

It lies in data/imagenet-c/CORRUPTION/SEVERITY as published, one folder per class in each, and is for testing only.
Images have 224 px.
"""

_base_ = './in1k_finetune_224.py'

train_dataloader = None
val_dataloader = None
val_evaluator = None
test_cfg = dict()

corruptions = [
    'gaussian_noise', 'shot_noise', 'impulse_noise', 'defocus_blur', 'glass_blur', 'motion_blur', 'zoom_blur', 'snow',
    'frost', 'fog', 'brightness', 'contrast', 'elastic_transform', 'pixelate', 'jpeg_compression',
]  # fmt: skip
test_pipeline = [
    dict(type='mixmae_mm.LoadImage', mode='BGR'),
    dict(type='mmpretrain.CenterCrop', crop_size=_base_.image_size),
    dict(type='mmpretrain.PackInputs'),
]
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            dict(
                type='mmpretrain.ImageNet',
                data_root=f'data/imagenet-c/{corruption}/{severity}',
                extensions=_base_.extensions,
                pipeline=test_pipeline,
            )
            for corruption in corruptions
            for severity in range(1, 6)
        ],
    ),
)
test_evaluator = [dict(type='mmpretrain.Accuracy', topk=(1, 5)), dict(type='mixmae_mm.CorruptionError')]
