"""Fine-tuning of the base ViT at 224 px on ImageNet-1k: MAE's official recipe.

    tools/dist_train.sh configs/classification/vit-base-p16_8xb128-amp-coslr-100e_in1k.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

PRETRAINED.pth comes from any config of configs/mixedae/ or configs/mae/ with this encoder, or is MAE's official file;
without the option it is what MixedAE has written after 1600 epochs. MixedAE's segment embedding is dropped; with
`model.backbone.fold_segments=True` its mean joins the bias of the patch embedding instead, which keeps the first
block's input nearer to what it was in pre-training.

Reported by MAE's repository with this recipe: 83.66 top-1, the best of four runs whose mean is 83.57 (1600 epochs of
pre-training). Untuned for MixedAE, whose fine-tuning is not at hand; its paper reports 0.3 above MAE. Not run here.
"""

_base_ = [
    '../_base_/models/vit-base_classifier.py',
    '../_base_/datasets/in1k_finetune_224.py',
    '../_base_/schedules/mae_finetune_bs1024.py',
    '../_base_/default_runtime.py',
]
