"""UperNet with the plain ViT-B on ADE20K: crops of 512 px, 160,000 iterations of batch 16.

    tools/dist_train.sh configs/segmentation/upernet_vit-base_8xb2-amp-160k_ade20k-512x512.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth
    python tools/test.py configs/segmentation/upernet_vit-base_8xb2-amp-160k_ade20k-512x512.py CHECKPOINT.pth --tta

mmseg's recipe for MAE, without its relative positions and layer scale. Reported by mmseg for MAE's ViT-B after 1600
epochs: 48.13 mIoU at one scale, 48.70 at several. MixedAE's paper reports 1.7 more than MAE. Untuned, and not run here.
"""

_base_ = [
    '../_base_/models/upernet_vit-base.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/schedules/ade20k_160k.py',
    '../_base_/segmentation_runtime_by_iteration.py',
]
