"""Fine-tuning of the large encoder at 384 px on ImageNet-1k; blocks are recomputed in the backward pass.

    tools/dist_train.sh configs/classification/mixmim-swin-large-w16_8xb128-amp-coslr-100e_in1k-384px.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Reported by the authors: 86.9 top-1; their settings for this size are not published, so these are untuned. Not run here.
"""

_base_ = './mixmim-swin-base-w16_8xb128-amp-coslr-100e_in1k-384px.py'

checkpoint = 'work_dirs/mixmae_mixmim-swin-large-w14_16xb128-amp-coslr-600e_in1k/epoch_600.pth'

model = dict(
    backbone=dict(arch='large', drop_path_rate=0.2, with_cp=True, init_cfg=dict(checkpoint=checkpoint)),
    head=dict(in_channels=192 * 8),
)
