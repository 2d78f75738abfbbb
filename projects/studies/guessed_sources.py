"""What it costs MixMAE to infer which tokens are of the same source, as MixedAE does, instead of knowing it.

python tools/analysis_tools/study.py projects/studies/guessed_sources.py
"""

_mixmae = 'projects/studies/configs/mixmae_mixmim-swin-micro_imagenette-64px.py'
_camvid = 'data/camvid11_384x288'

seeds = [0, 1, 2]
options = {
    'train_cfg.max_epochs': 10,
    'param_scheduler.0.end': 1,
    'param_scheduler.1.begin': 1,
    'train_dataloader.num_workers': 1,
    'default_hooks.checkpoint.interval': 2,
    'default_hooks.checkpoint.max_keep_ckpts': 1,
}
runs = dict(
    mixmae=dict(config=_mixmae),
    guessed=dict(config=_mixmae, options={'model.backbone.attention': 'homologous'}),
    # all that MixedAE adds: its attention, segment embedding and contrastive loss
    guessed_with_help=dict(
        config=_mixmae,
        options={
            'model.backbone.attention': 'homologous',
            'model.backbone.num_segments': 2,
            'model.contrast.type': 'mixmae_mm.HomologousContrastiveLoss',
        },
    ),
)
evaluations = dict(
    knn='--train data/imagenette_96/train --val data/imagenette_96/val --linear-probe --few-labels 1%',
    camvid=f'--train {_camvid}/img_dir/train --val {_camvid}/img_dir/test '
    f'--train-masks {_camvid}/ann_dir/train --val-masks {_camvid}/ann_dir/test --image-size 192 256 --batch-size 16',
)
transfers = dict(
    finetune=dict(
        config='projects/studies/configs/classification_mixmim-swin-micro_imagenette-64px.py',
        metric='accuracy/top1',
        options={'train_cfg.max_epochs': 5, 'train_dataloader.num_workers': 1, 'val_dataloader.num_workers': 1},
    )
)
measures = ['knn.top1', 'knn.probe_top1', 'camvid.ridge.miou', 'finetune', 'train.step']
baseline = 'mixmae'
