"""Fine-tuning of the base encoder at 224 px on ImageNet-1k: the official recipe.

    tools/dist_train.sh configs/classification/mixmim-swin-base-w14_8xb128-amp-coslr-100e_in1k.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Without the option, training starts from the checkpoint of the 600-epoch pre-training config. The head trains at 0.7
times the learning rate, as in the official code; `optim_wrapper.paramwise_cfg.head_decay=False` trains it at the full
rate.

Reported by the paper: 85.1 top-1 (600 epochs of pre-training). Not run here.
"""

_base_ = [
    '../_base_/models/mixmim-swin-base_classifier.py',
    '../_base_/datasets/in1k_finetune_224.py',
    '../_base_/schedules/finetune_bs1024.py',
    '../_base_/default_runtime.py',
]
