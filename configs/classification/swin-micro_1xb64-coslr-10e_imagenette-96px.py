"""Fine-tuning of a micro Swin of mmpretrain on Imagenette at 96 px (10 classes), on a CPU.

    python tools/train.py configs/classification/swin-micro_1xb64-coslr-10e_imagenette-96px.py \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Without the option, training starts from the checkpoint of MixMAE's pre-training config. SimMIM's checkpoints load as
well, and `model.backbone.init_cfg=None` trains from scratch. Untuned.
"""

_base_ = './mixmim-swin-micro_1xb64-coslr-10e_imagenette-96px.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.SwinTransformer',
        arch=dict(embed_dims=32, depths=[2, 2, 2], num_heads=[1, 2, 4]),
        img_size=_base_.image_size,
        window_size=6,
        pad_small_map=True,
        drop_path_rate=0.05,
        out_indices=(2,),
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone.',
            checkpoint='work_dirs/mixmae_swin-micro_1xb64-coslr-40e_imagenette-96px/epoch_40.pth',
        ),
    )
)
