"""UperNet with the small ViT on ADE20K: crops of 512 px, 160,000 iterations of batch 16.

    tools/dist_train.sh configs/segmentation/upernet_vit-small_8xb2-amp-160k_ade20k-512x512.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

The base model's recipe. Untuned, and not run here.
"""

_base_ = './upernet_vit-base_8xb2-amp-160k_ade20k-512x512.py'

embed_dims = 384
checkpoint = 'work_dirs/mixedae_vit-small-p16_32xb128-amp-coslr-1600e_in1k/epoch_1600.pth'

model = dict(
    backbone=dict(arch='small', init_cfg=dict(checkpoint=checkpoint)),
    neck=dict(in_channels=embed_dims),
    decode_head=dict(in_channels=[embed_dims] * 4, channels=embed_dims),
    auxiliary_head=dict(in_channels=embed_dims),
)
