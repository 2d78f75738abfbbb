"""Fine-tuning of mmdet's PVT-L at 224 px on ImageNet-1k, after MixMAE.

    mixmae convert PRETRAINED.pth encoder.pth --to backbone
    tools/dist_train.sh configs/classification/pvt-large_8xb128-amp-coslr-100e_in1k.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=encoder.pth

Untuned, and without layer decay, since the class does not report the depth of its parameters.
"""

_base_ = [
    '../_base_/models/finetuned_classifier.py',
    '../_base_/datasets/in1k_finetune_224.py',
    '../_base_/schedules/finetune_bs1024.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        type='mmdet.PyramidVisionTransformer',
        num_layers=[3, 8, 27, 3],
        drop_path_rate=0.3,
        out_indices=(3,),
        init_cfg=dict(
            type='Pretrained', checkpoint='work_dirs/mixmae_pvt-large_16xb128-amp-coslr-300e_in1k/encoder.pth'
        ),
    ),
    head=dict(in_channels=512),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=1.0))
