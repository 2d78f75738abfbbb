"""MixMAE, a micro encoder, on the built-in set of 2800 scenes at 64 px: what `make demo` runs, on a CPU.

    python tools/dataset_tools/make_materials.py data/materials
    python tools/train.py configs/mixmae/mixmae_mixmim-swin-micro_1xb64-coslr-40e_materials-64px.py

Untuned. Results of its frozen features after 10 epochs: docs/results.md. Textures are hard to predict: the loss starts
at 1.2, stays at 0.82 for some epochs, and then falls slowly.
"""

_base_ = [
    '../_base_/models/mixmae_mixmim-swin-micro.py',
    '../_base_/datasets/images_224.py',
    '../_base_/schedules/pretrain_bs64_micro.py',
    '../_base_/pretrain_runtime.py',
]

train_pipeline = [
    dict(step, scale=_base_.image_size) if step['type'].endswith('RandomResizedCrop') else step
    for step in _base_.train_pipeline
]
train_dataloader = dict(
    batch_size=_base_.batch_size,
    num_workers=2,
    pin_memory=False,
    dataset=dict(data_root='data/materials/train', pipeline=train_pipeline),
)

default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=10))
