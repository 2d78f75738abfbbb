"""What MixedAE's design choices contribute with few photos: comparison of MAE, naive mixing and MixedAE.

python tools/analysis_tools/study.py projects/studies/mixedae_screening.py

A first screening: one seed, 100 epochs of 1,894 images at 64 px (2,900 updates). The choices are tried without segment
embedding, which was better by far. All encoders are evaluated as MAE's, without it.
"""

_mixedae = 'projects/studies/configs/mixedae_vit-micro_imagenette-64px.py'
_mae = 'projects/studies/configs/mae_vit-micro_imagenette-64px.py'
_camvid = 'data/camvid11_384x288'
_nuclei = 'data/nuclei_masks'
_no_segments = {'model.backbone.segment_embedding': False}
_no_contrast = {'model.contrast': None}
_global = {'model.backbone.attention': 'global'}
_naive = _no_segments | _no_contrast | _global
_blocks = {'model.data_preprocessor.block_size': 2}
_eight = {'model.data_preprocessor.num_sources': 8, 'model.backbone.num_sources': 8}

seeds = [0]
options = {
    'train_cfg.max_epochs': 100,
    'train_dataloader.num_workers': 1,
    'default_hooks.checkpoint.interval': 10,
    'default_hooks.checkpoint.max_keep_ckpts': 1,
}
runs = dict(
    untrained=dict(encoder=_mae),
    mae=dict(config=_mae),
    mixedae=dict(config=_mixedae, encoder=_mae),
    naive=dict(config=_mixedae, encoder=_mae, options=_naive),
    no_segments=dict(config=_mixedae, encoder=_mae, options=_no_segments),
    # a control: MAE with images side by side, which share nothing but the CLS token
    true_sources=dict(
        config=_mixedae,
        encoder=_mae,
        options=_naive | {'model.backbone.attention': 'true', 'model.backbone.homologous_layers': [0, 1, 2, 3, 4, 5]},
    ),
    # of the default, one part left out
    no_contrast=dict(config=_mixedae, encoder=_mae, options=_no_contrast),
    no_attention=dict(config=_mixedae, encoder=_mae, options=_global),
    # without segment embedding, one part left out or one setting changed
    attention_alone=dict(config=_mixedae, encoder=_mae, options=_no_segments | _no_contrast),
    contrast_alone=dict(config=_mixedae, encoder=_mae, options=_no_segments | _global),
    heavier=dict(config=_mixedae, encoder=_mae, options=_no_segments | {'model.contrast.weight': 1.0}),
    colder=dict(config=_mixedae, encoder=_mae, options=_no_segments | {'model.contrast.temperature': 0.07}),
    blocks=dict(config=_mixedae, encoder=_mae, options=_no_segments | _blocks),
    mae_blocks=dict(config=_mae, options=_blocks),
    from_the_middle=dict(
        config=_mixedae, encoder=_mae, options=_no_segments | {'model.backbone.homologous_layers': [3, 4, 5]}
    ),
    projection=dict(config=_mixedae, encoder=_mae, options=_no_segments | {'model.projection_dims': 128}),
    more_keys=dict(config=_mixedae, encoder=_mae, options=_no_segments | {'model.backbone.topk_ratio': 0.5}),
    eight_sources=dict(config=_mixedae, encoder=_mae, options=_no_segments | _eight),
    mae_eighth=dict(config=_mae, options={'model.data_preprocessor.mask_ratio': 0.875}),
)
evaluations = dict(
    knn='--train data/imagenette_96/train --val data/imagenette_96/val --image-size 64 --linear-probe --few-labels 1%',
    camvid=f'--train {_camvid}/img_dir/train --val {_camvid}/img_dir/test --train-masks {_camvid}/ann_dir/train '
    f'--val-masks {_camvid}/ann_dir/test --image-size 192 256 --stages 1 3 5 --batch-size 16',
    nuclei=f'--train {_nuclei}/img/train --val {_nuclei}/img/val --train-masks {_nuclei}/ann/train '
    f'--val-masks {_nuclei}/ann/val --image-size 128 --stages 1 3 5 --batch-size 16',
)
measures = ['knn.top1', 'knn.probe_top1', 'camvid.ridge.miou', 'nuclei.ridge.miou', 'train.loss_reconstruction']
baseline = 'mae'
