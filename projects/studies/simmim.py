"""MixMAE compared with SimMIM and its own ablations, on the same Swin, images, augmentation and schedule, at 64 px.

python tools/analysis_tools/study.py projects/studies/simmim.py
"""

_mixmae = 'projects/studies/configs/mixmae_swin-micro_imagenette-64px.py'
_simmim = 'projects/studies/configs/simmim_swin-micro_imagenette-64px.py'
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
    untrained=dict(encoder=_mixmae),
    simmim=dict(config=_simmim, encoder=_mixmae),
    # 20 % longer: a step of MixMAE takes 10.44 G multiplications and additions, SimMIM's 8.71 G (smaller decoder)
    simmim_same_flops=dict(config=_simmim, encoder=_mixmae, options={'train_cfg.max_epochs': 12}),
    mixmae=dict(config=_mixmae),
    unmasked=dict(config=_mixmae, options={'model.masked_attention': False}),
    # gray in place of the other image's cells: the embedding of zeros is the bias
    token=dict(
        config=_mixmae,
        options={
            'model.data_preprocessor.num_sources': 1,
            'model.data_preprocessor.mask_ratio': 0.5,
            'model.masked_attention': False,
        },
    ),
    one=dict(config=_mixmae, options={'model.head.num_reconstructed': 1}),
    four=dict(config=_mixmae, options={'model.data_preprocessor.num_sources': 4}),
)
evaluations = dict(
    knn='--train data/imagenette_96/train --val data/imagenette_96/val --linear-probe --few-labels 1%',
    camvid=f'--train {_camvid}/img_dir/train --val {_camvid}/img_dir/test '
    f'--train-masks {_camvid}/ann_dir/train --val-masks {_camvid}/ann_dir/test --image-size 192 256 --batch-size 16',
)
transfers = dict(
    finetune=dict(
        config='projects/studies/configs/classification_swin-micro_imagenette-64px.py',
        metric='accuracy/top1',
        options={'train_cfg.max_epochs': 5, 'train_dataloader.num_workers': 1, 'val_dataloader.num_workers': 1},
    )
)
measures = ['knn.top1', 'knn.probe_top1', 'camvid.ridge.miou', 'finetune', 'train.step']
baseline = 'mixmae'
