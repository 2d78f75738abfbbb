"""UperNet with mmpretrain's Twins-SVT-L on ADE20K, after MixMAE: crops of 512 px, 160,000 iterations of batch 16.

    tools/dist_train.sh configs/segmentation/upernet_twins-svt-large_8xb2-amp-160k_ade20k-512x512.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Untuned, and without layer decay, since the class does not report the depth of its parameters. Not run here.
"""

_base_ = './upernet_mixmim-swin-base_8xb2-amp-160k_ade20k-512x512.py'

model = dict(
    data_preprocessor=dict(pad_val=0),  # this encoder cannot recognize padding
    backbone=dict(
        _delete_=True,
        type='mmpretrain.SVT',
        arch='large',
        norm_after_stage=True,
        qkv_bias=True,
        out_indices=(0, 1, 2, 3),
        drop_path_rate=0.3,
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone.',
            checkpoint='work_dirs/mixmae_twins-svt-large_16xb128-amp-coslr-300e_in1k/epoch_300.pth',
        ),
    ),
    decode_head=dict(in_channels=[128, 256, 512, 1024]),
    auxiliary_head=dict(in_channels=512),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=1.0))
