"""UperNet with MixMIMSwin-B on ADE20K, tested on whole images instead of by a sliding window.

    tools/dist_train.sh configs/segmentation/upernet_mixmim-swin-base-whole_8xb2-amp-160k_ade20k-512x512.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Untuned, and not run here.
"""

_base_ = './upernet_mixmim-swin-base_8xb2-amp-160k_ade20k-512x512.py'

model = dict(test_cfg=dict(_delete_=True, mode='whole'))
