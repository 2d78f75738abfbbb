"""Mask R-CNN with a micro PVT of mmdet on micrographs of nuclei, after MixMAE on Imagenette, on a CPU.

    mixmae convert PRETRAINED.pth encoder.pth --to backbone
    python tools/train.py configs/detection/mask-rcnn_pvt-micro_fpn_1xb8-12e_nuclei.py \
        --cfg-options model.backbone.init_cfg.checkpoint=encoder.pth

`model.backbone.init_cfg=None` trains from scratch. Untuned.
"""

_base_ = ['./mask-rcnn_mixmim-swin-micro_fpn_1xb8-12e_nuclei.py', '../_base_/models/stock_micro.py']

model = dict(
    data_preprocessor=dict(pad_value=0),  # this encoder cannot recognize padding
    backbone=dict(
        _base_.stock_micro.pvt,
        _delete_=True,
        out_indices=(0, 1, 2),
        drop_path_rate=0.05,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/mixmae_pvt-micro_1xb64-coslr-40e_imagenette-96px/encoder.pth',
        ),
    ),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=1.0))
