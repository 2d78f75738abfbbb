"""Runtime settings of pre-training: reconstructions and feature statistics every 10 epochs (docs/visualize.md).

--cfg-options default_hooks.online.data_root=data/imagenette_96    also k-NN and a linear probe, with these labels
--cfg-options default_hooks.reconstruction.interval=0                draw no reconstructions
"""

_base_ = './default_runtime.py'

default_hooks = dict(
    reconstruction=dict(type='mixmae_mm.ReconstructionHook', interval=10),
    online=dict(type='mixmae_mm.OnlineEvaluationHook', interval=10),
)
