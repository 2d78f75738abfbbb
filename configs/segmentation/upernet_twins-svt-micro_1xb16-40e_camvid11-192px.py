"""UperNet with a micro Twins-SVT of mmseg on CamVid, after MixMAE on Imagenette, on a CPU.

    python tools/train.py configs/segmentation/upernet_twins-svt-micro_1xb16-40e_camvid11-192px.py \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

From scratch with `model.backbone.init_cfg=None`. Untuned.
"""

_base_ = './upernet_mixmim-swin-micro_1xb16-40e_camvid11-192px.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmseg.SVT',
        embed_dims=[32, 64, 128],
        num_heads=[1, 2, 4],
        depths=[2, 2, 2],
        patch_sizes=[4, 2, 2],
        strides=[4, 2, 2],
        sr_ratios=[4, 2, 1],
        windiow_sizes=[6, 6, 6],
        mlp_ratios=[4, 4, 4],
        qkv_bias=True,
        norm_after_stage=True,
        drop_path_rate=0.05,
        out_indices=(0, 1, 2),
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone.',
            checkpoint='work_dirs/mixmae_twins-svt-micro_1xb64-coslr-40e_imagenette-96px/epoch_40.pth',
        ),
    )
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=1.0))
