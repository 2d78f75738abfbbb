"""Fine-tuning of mmpretrain's Twins-SVT-L at 224 px on ImageNet-1k, after MixMAE.

    tools/dist_train.sh configs/classification/twins-svt-large_8xb128-amp-coslr-100e_in1k.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

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
        type='mmpretrain.SVT',
        arch='large',
        norm_after_stage=[False, False, False, True],
        qkv_bias=True,
        drop_path_rate=0.2,
        out_indices=(3,),
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone.',
            checkpoint='work_dirs/mixmae_twins-svt-large_16xb128-amp-coslr-300e_in1k/epoch_300.pth',
        ),
    ),
    head=dict(in_channels=1024),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=1.0))
