"""The main runs of mixedae_finalists.py with all 9,469 images of Imagenette, each seen 20 times; no classifiers.

python tools/analysis_tools/study.py projects/studies/mixedae_finalists_all.py
"""

_base_ = './mixedae_finalists.py'

_mixedae = 'configs/mixedae/mixedae_vit-micro-p8_1xb64-coslr-40e_imagenette-96px.py'
_mae = 'configs/mae/mae_vit-micro-p8_1xb64-coslr-40e_imagenette-96px.py'

options = {
    'train_cfg.max_epochs': 20,
    'param_scheduler.0.end': 1,
    'param_scheduler.1.begin': 1,
    'default_hooks.checkpoint.interval': 2,
}
runs = dict(
    _delete_=True,
    mae=dict(config=_mae),
    no_segments=dict(config=_mixedae, encoder=_mae, options=_base_.runs.no_segments.options),
    projection=dict(config=_mixedae, encoder=_mae, options=_base_.runs.projection.options),
    naive=dict(config=_mixedae, encoder=_mae, options=_base_.runs.naive.options),
)
transfers = dict(_delete_=True, upernet=_base_.transfers.upernet)
measures = ['knn.top1', 'knn.probe_top1', 'camvid.ridge.miou', 'nuclei.ridge.miou', 'upernet']
