"""MAE, naive mixing and MixedAE where images are memorized: 194 images, each seen 967 times.

python tools/analysis_tools/study.py projects/studies/mixedae_194_images.py

As many updates (2,901) as in mixedae_screening.py, with a tenth of its images: does mixing pay as an augmentation?
"""

_base_ = './mixedae_screening.py'

_mixedae = 'projects/studies/configs/mixedae_vit-micro_imagenette-64px-194.py'
_mae = 'projects/studies/configs/mae_vit-micro_imagenette-64px-194.py'

options = {
    'train_cfg.max_epochs': 967,
    'param_scheduler.0.end': 39,
    'param_scheduler.1.begin': 39,
    'default_hooks.checkpoint.interval': 100,
}
runs = dict(
    _delete_=True,
    mae=dict(config=_mae),
    naive=dict(config=_mixedae, encoder=_mae, options=_base_.runs.naive.options),
    mixedae=dict(config=_mixedae, encoder=_mae),
    no_segments=dict(config=_mixedae, encoder=_mae, options=_base_.runs.no_segments.options),
)
