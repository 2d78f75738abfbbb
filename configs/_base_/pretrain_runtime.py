"""Run-time settings of pre-training: the model is looked at every 10 epochs (docs/visualize.md).

--cfg-options default_hooks.online.data_root=data/imagenette_96    nearest neighbors and a probe too, with labels
--cfg-options default_hooks.reconstruction.interval=0                no images
"""

_base_ = './default_runtime.py'

default_hooks = dict(
    reconstruction=dict(type='mixmae_mm.ReconstructionHook', interval=10),
    online=dict(type='mixmae_mm.OnlineEvaluationHook', interval=10),
)
