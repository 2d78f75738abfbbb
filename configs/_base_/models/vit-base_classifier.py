"""The base ViT as a classifier, initialized from MixedAE's checkpoint after 1600 epochs.

As in MAE's fine-tuning, the encoder pools before the last norm, so the neck averages a 1 x 1 map.
"""

_base_ = './finetuned_classifier.py'

model = dict(
    backbone=dict(
        type='mixmae_mm.MixingViT',
        arch='base',
        img_size=224,
        patch_size=16,
        out_type='avg_featmap',
        train_positions=True,
        drop_path_rate=0.1,
        fold_segments=False,  # the segment embedding is dropped; choice
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/mixedae_vit-base-p16_32xb128-amp-coslr-1600e_in1k/epoch_1600.pth',
        ),
    ),
    head=dict(in_channels=768),
)
