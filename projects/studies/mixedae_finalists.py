"""MAE, naive mixing and the best MixedAEs of mixedae_screening.py at 96 px: few photos, each seen 100 times.

python tools/analysis_tools/study.py projects/studies/mixedae_finalists.py

2,900 updates with 1,894 photos; mixedae_finalists_all.py has about as many with all photos.
"""

_mixedae = 'projects/studies/configs/mixedae_vit-micro_imagenette-96px.py'
_mae = 'projects/studies/configs/mae_vit-micro_imagenette-96px.py'
_camvid = 'data/camvid11_384x288'
_nuclei = 'data/nuclei_masks'
_no_segments = {'model.backbone.segment_embedding': False}
_global = {'model.backbone.attention': 'global'}
_naive = _no_segments | _global | {'model.contrast': None}

seeds = [0, 1, 2]
options = {
    'train_cfg.max_epochs': 100,
    'train_dataloader.num_workers': 1,
    'default_hooks.checkpoint.interval': 10,
    'default_hooks.checkpoint.max_keep_ckpts': 1,
}
runs = dict(
    untrained=dict(encoder=_mae),
    mae=dict(config=_mae),
    no_segments=dict(config=_mixedae, encoder=_mae, options=_no_segments),
    projection=dict(config=_mixedae, encoder=_mae, options=_no_segments | {'model.projection_dims': 128}),
    mixedae=dict(config=_mixedae, encoder=_mae),
    naive=dict(config=_mixedae, encoder=_mae, options=_naive),
    contrast_alone=dict(config=_mixedae, encoder=_mae, options=_no_segments | _global),
)
evaluations = dict(
    knn='--train data/imagenette_96/train --val data/imagenette_96/val --linear-probe --few-labels 1%',
    camvid=f'--train {_camvid}/img_dir/train --val {_camvid}/img_dir/test --train-masks {_camvid}/ann_dir/train '
    f'--val-masks {_camvid}/ann_dir/test --image-size 192 256 --stages 1 3 5 --batch-size 16',
    nuclei=f'--train {_nuclei}/img/train --val {_nuclei}/img/val --train-masks {_nuclei}/ann/train '
    f'--val-masks {_nuclei}/ann/val --image-size 128 --stages 1 3 5 --batch-size 16',
)
transfers = dict(
    finetune=dict(
        config='configs/classification/vit-micro-p8_1xb64-coslr-10e_imagenette-96px.py',
        metric='accuracy/top1',
        options={'train_cfg.max_epochs': 5, 'train_dataloader.num_workers': 1, 'val_dataloader.num_workers': 1},
    )
)
measures = ['knn.top1', 'knn.probe_top1', 'camvid.ridge.miou', 'nuclei.ridge.miou', 'finetune']
baseline = 'mae'
