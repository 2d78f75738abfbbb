"""MAE, naive mixing and the best MixedAEs of mixedae_screening.py at 96 px: few images, each seen 100 times.

python tools/analysis_tools/study.py projects/studies/mixedae_finalists.py

2,900 updates with 1,894 images; mixedae_finalists_all.py has about as many with all images.
"""

_base_ = './mixedae_screening.py'

_mixedae = 'projects/studies/configs/mixedae_vit-micro_imagenette-96px.py'
_mae = 'projects/studies/configs/mae_vit-micro_imagenette-96px.py'

seeds = [0, 1, 2]
runs = dict(
    _delete_=True,
    untrained=dict(encoder=_mae),
    mae=dict(config=_mae),
    no_segments=dict(config=_mixedae, encoder=_mae, options=_base_.runs.no_segments.options),
    projection=dict(config=_mixedae, encoder=_mae, options=_base_.runs.projection.options),
    mixedae=dict(config=_mixedae, encoder=_mae),
    naive=dict(config=_mixedae, encoder=_mae, options=_base_.runs.naive.options),
)
evaluations = dict(
    knn='--train data/imagenette_96/train --val data/imagenette_96/val --linear-probe --few-labels 1%',
)
transfers = dict(
    finetune=dict(
        config='configs/classification/vit-micro-p8_1xb64-coslr-10e_imagenette-96px.py',
        metric='accuracy/top1',
        options={'train_cfg.max_epochs': 5, 'train_dataloader.num_workers': 1, 'val_dataloader.num_workers': 1},
    ),
    upernet=dict(
        config='configs/segmentation/upernet_vit-micro_1xb16-40e_camvid11-192px.py',
        metric='mIoU',
        options={'train_cfg.max_epochs': 10, 'train_dataloader.num_workers': 1},
    ),
)
measures = ['knn.top1', 'knn.probe_top1', 'camvid.ridge.miou', 'nuclei.ridge.miou', 'finetune', 'upernet']
