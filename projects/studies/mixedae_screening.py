"""What MixedAE's design choices contribute with few photos: comparison of MAE, naive mixing and MixedAE.

python tools/analysis_tools/study.py projects/studies/mixedae_screening.py

The first rung of a successive halving: one seed, 40 epochs of 1,894 photos at 64 px (1,160 updates).
"""

_mixedae = 'projects/studies/configs/mixedae_vit-micro_imagenette-64px.py'
_mae = 'projects/studies/configs/mae_vit-micro_imagenette-64px.py'
_camvid = 'data/camvid11_384x288'
_no_segments = {'model.backbone.segment_embedding': False}
_blocks = {'model.data_preprocessor.block_size': 2}

seeds = [0]
options = {
    'train_cfg.max_epochs': 40,
    'train_dataloader.num_workers': 1,
    'default_hooks.checkpoint.interval': 10,
    'default_hooks.checkpoint.max_keep_ckpts': 1,
}
runs = dict(
    untrained=dict(encoder=_mixedae),
    mae=dict(config=_mae),
    naive=dict(
        config=_mixedae,
        options=_no_segments | {'model.backbone.attention': 'global', 'model.contrast': None},
    ),
    mixedae=dict(config=_mixedae),
    no_segments=dict(config=_mixedae, options=_no_segments),
    blocks=dict(config=_mixedae, options=_blocks),
    no_segments_blocks=dict(config=_mixedae, options=_no_segments | _blocks),
    eight_sources=dict(
        config=_mixedae, options={'model.data_preprocessor.num_sources': 8, 'model.backbone.num_sources': 8}
    ),
    from_the_middle=dict(config=_mixedae, options={'model.backbone.homologous_layers': [3, 4, 5]}),
    colder=dict(config=_mixedae, options={'model.contrast.temperature': 0.07}),
    heavier=dict(config=_mixedae, options={'model.contrast.weight': 1.0}),
    no_contrast=dict(config=_mixedae, options={'model.contrast': None}),
    no_attention=dict(config=_mixedae, options={'model.backbone.attention': 'global'}),
    oracle=dict(config=_mixedae, options={'model.backbone.attention': 'true'}),
)
evaluations = dict(
    knn='--train data/imagenette_96/train --val data/imagenette_96/val --image-size 64 --linear-probe --few-labels 1%',
    camvid=f'--train {_camvid}/img_dir/train --val {_camvid}/img_dir/test '
    f'--train-masks {_camvid}/ann_dir/train --val-masks {_camvid}/ann_dir/test --image-size 192 256 --batch-size 16',
)
measures = ['knn.top1', 'knn.probe_top1', 'camvid.ridge.miou', 'train.step']
baseline = 'mae'
