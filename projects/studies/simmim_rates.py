"""SimMIM of simmim.py with other learning rates, and three times as long.

python tools/analysis_tools/study.py projects/studies/simmim_rates.py
"""

_base_ = './simmim.py'

_mixmae = 'projects/studies/configs/mixmae_swin-micro_imagenette-64px.py'
_simmim = 'projects/studies/configs/simmim_swin-micro_imagenette-64px.py'

seeds = [0]
runs = dict(
    _delete_=True,
    double_rate=dict(config=_simmim, encoder=_mixmae, options={'optim_wrapper.optimizer.lr': 4e-3}),
    half_rate=dict(config=_simmim, encoder=_mixmae, options={'optim_wrapper.optimizer.lr': 1e-3}),
    longer=dict(config=_simmim, encoder=_mixmae, options={'train_cfg.max_epochs': 30}),
)
baseline = None
