"""MixedAE, base encoder, 300 epochs on ImageNet-1k: the schedule for ablations.

    tools/dist_train.sh configs/mixedae/mixedae_vit-base-p16_32xb128-amp-coslr-300e_in1k.py 8 --auto-scale-lr

For 32 GPUs x 128 images; on 8 GPUs use `--auto-scale-lr`, or keep the batch with
`--cfg-options optim_wrapper.accumulative_counts=4`. Labels are not used.

Untuned: the recipe is MAE's, since we have neither MixedAE's own nor any result for 300 epochs. The method's open
settings, and where their values come from: configs/_base_/models/mixedae_vit-base.py. Ablations of its parts are four
configs in this folder and a table in configs/mixedae/README.md. To try other values, use --cfg-options:

    model.contrast.temperature=0.1              also 0.5, 1.0
    model.contrast.weight=0.05                  also 0.2, 1.0
    model.projection_dims=256                   compare features after a small head
    model.backbone.topk_ratio=0.125             half as many keys; 0.5: twice as many
    model.backbone.homologous_layers=6,7,8,9,10,11
    model.backbone.exempt_cls=False             CLS competes with the other keys
    model.neck.cls_token=False                  a decoder without CLS
"""

_base_ = [
    '../_base_/models/mixedae_vit-base.py',
    '../_base_/datasets/images_224.py',
    '../_base_/schedules/mae_bs4096.py',
    '../_base_/pretrain_runtime.py',
]

train_cfg = dict(max_epochs=300)
default_hooks = dict(checkpoint=dict(interval=10))
