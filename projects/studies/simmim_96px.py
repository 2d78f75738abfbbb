"""The two methods of simmim.py at 96 px, with windows of 6 x 6.

python tools/analysis_tools/study.py projects/studies/simmim_96px.py
"""

_base_ = './simmim.py'

_mixmae = 'configs/mixmae/mixmae_swin-micro_1xb64-coslr-40e_imagenette-96px.py'
_simmim = 'configs/simmim/simmim_swin-micro_1xb64-coslr-40e_imagenette-96px.py'

runs = dict(
    _delete_=True,
    simmim=dict(config=_simmim, encoder=_mixmae, options={'train_cfg.max_epochs': 12}),
    mixmae=dict(config=_mixmae),
)
transfers = dict(finetune=dict(config='configs/classification/swin-micro_1xb64-coslr-10e_imagenette-96px.py'))
