"""Fine-tuning of the huge encoder at 224 px on ImageNet-1k; blocks are recomputed in the backward pass.

    tools/dist_train.sh configs/classification/mixmim-swin-huge-w14_8xb128-amp-coslr-50e_in1k.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Untuned: we know of no settings and no result for this size; epochs and drop path are those of MAE's huge model.
"""

_base_ = './mixmim-swin-base-w14_8xb128-amp-coslr-100e_in1k.py'

checkpoint = 'work_dirs/mixmae_mixmim-swin-huge-w14_16xb128-amp-coslr-600e_in1k/epoch_600.pth'

model = dict(
    backbone=dict(arch='huge', drop_path_rate=0.3, with_cp=True, init_cfg=dict(checkpoint=checkpoint)),
    head=dict(in_channels=352 * 8),
)
train_cfg = dict(max_epochs=50)
