"""UperNet with mmseg's Swin-T on ADE20K, after MixMAE: crops of 512 px, 160,000 iterations of batch 16.

    tools/dist_train.sh configs/segmentation/upernet_swin-tiny_8xb2-amp-160k_ade20k-512x512.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Untuned, and without layer decay, since the class does not report the depth of its parameters. Not run here.
"""

_base_ = './upernet_mixmim-swin-base_8xb2-amp-160k_ade20k-512x512.py'

model = dict(
    data_preprocessor=dict(pad_val=0),  # this encoder cannot recognize padding
    backbone=dict(
        _delete_=True,
        type='mmseg.SwinTransformer',
        drop_path_rate=0.1,
        init_cfg=dict(
            type='Pretrained', checkpoint='work_dirs/mixmae_swin-tiny-w7_16xb128-amp-coslr-300e_in1k/epoch_300.pth'
        ),
    ),
    decode_head=dict(in_channels=[96, 192, 384, 768]),
    auxiliary_head=dict(in_channels=384),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=1.0))
