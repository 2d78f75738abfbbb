"""Log loss, images and features to Weights & Biases too (`pip install wandb`).

    _base_ = ['./some_pretraining.py', '../_base_/vis/wandb.py']
    visualizer = dict(vis_backends=[*_base_.vis_backends, *_base_.wandb])

Run `wandb login` once, or set WANDB_MODE=offline to write to the work_dir. Other settings of `wandb.init` go into
`init_kwargs`.
"""

wandb = [dict(type='WandbVisBackend', init_kwargs=dict(project='mixmae_mm'))]
