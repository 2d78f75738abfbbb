"""Fine-tuning of the huge ViT, patches of 14 px, at 224 px on ImageNet-1k; blocks are recomputed in the backward pass.

    tools/dist_train.sh configs/classification/vit-huge-p14_8xb128-amp-coslr-50e_in1k.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Untuned: we know of no settings and no result of MixedAE for this size. Learning rate and layer decay are those of the
large model's recipe; 50 epochs and drop path 0.3 are those of MAE's huge model. Not run here.
"""

_base_ = './vit-base-p16_8xb128-amp-coslr-100e_in1k.py'

checkpoint = 'work_dirs/mixedae_vit-huge-p14_32xb128-amp-coslr-300e_in1k/epoch_300.pth'
lr = 1e-3 * _base_.batch_size / 256

model = dict(
    backbone=dict(arch='huge', patch_size=14, drop_path_rate=0.3, with_cp=True, init_cfg=dict(checkpoint=checkpoint)),
    head=dict(in_channels=1280),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.75), optimizer=dict(lr=lr))
warmup, cosine = _base_.param_scheduler
param_scheduler = [warmup, dict(cosine, eta_min_ratio=_base_.min_lr / lr)]
train_cfg = dict(max_epochs=50)
