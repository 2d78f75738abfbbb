"""Fine-tuning of the micro encoder on the built-in set (14 materials), on a CPU.

    python tools/train.py configs/classification/mixmim-swin-micro_1xb64-coslr-10e_materials-64px.py \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Without the option, training starts from the checkpoint of the pre-training config. Untuned.
"""

_base_ = [
    '../_base_/models/mixmim-swin-micro_classifier.py',
    '../_base_/datasets/folder_finetune.py',
    '../_base_/schedules/finetune_bs64_micro.py',
    '../_base_/default_runtime.py',
]

checkpoint = 'work_dirs/mixmae_mixmim-swin-micro_1xb64-coslr-40e_materials-64px/epoch_40.pth'

model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=checkpoint)))
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(max_keep_ckpts=1))
