"""Fine-tuning of the base encoder at 384 px: position embeddings of 224 px are resized, biases to windows of 16.

    tools/dist_train.sh configs/classification/mixmim-swin-base-w16_8xb128-amp-coslr-100e_in1k-384px.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Reported by the authors: 86.3 top-1; their settings for this size are not published. Untuned: the settings are
those for 224 px. Not run here.
"""

_base_ = [
    '../_base_/models/mixmim-swin-base_classifier.py',
    '../_base_/datasets/in1k_finetune_384.py',
    '../_base_/schedules/finetune_bs1024.py',
    '../_base_/default_runtime.py',
]

model = dict(backbone=dict(img_size=_base_.image_size, window_sizes=(16, 16, 24, 12)))
