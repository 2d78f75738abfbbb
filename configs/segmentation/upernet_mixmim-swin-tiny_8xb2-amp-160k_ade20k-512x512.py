"""UperNet with the tiny MixMIMSwin on ADE20K: crops of 512 px, 160,000 iterations of batch 16.

    tools/dist_train.sh configs/segmentation/upernet_mixmim-swin-tiny_8xb2-amp-160k_ade20k-512x512.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Like the base model, with a wide window in the last of the six blocks of the third stage. Untuned, and not run here.
"""

_base_ = './upernet_mixmim-swin-base_8xb2-amp-160k_ade20k-512x512.py'

checkpoint = 'work_dirs/mixmae_mixmim-swin-tiny-w14_1xb128-accu16-amp-coslr-300e_in1k/epoch_300.pth'

model = dict(
    backbone=dict(arch='tiny', wide_blocks=(5,), init_cfg=dict(checkpoint=checkpoint)),
    decode_head=dict(in_channels=[96, 192, 384, 768]),
    auxiliary_head=dict(in_channels=384),
)
