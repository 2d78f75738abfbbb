"""Fine-tuning of the micro ViT on the built-in set (14 materials), on a CPU.

    python tools/train.py configs/classification/vit-micro-p8_1xb64-coslr-10e_materials-64px.py \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Without the option, training starts from the checkpoint of MixedAE's pre-training config.

Untuned: the schedule is the micro MixMAE's.
"""

_base_ = [
    '../_base_/models/vit-micro_classifier.py',
    '../_base_/datasets/folder_finetune.py',
    '../_base_/schedules/finetune_bs64_micro.py',
    '../_base_/default_runtime.py',
]

checkpoint = 'work_dirs/mixedae_vit-micro-p8_1xb64-coslr-40e_materials-64px/epoch_40.pth'

model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=checkpoint)))
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(max_keep_ckpts=1))
