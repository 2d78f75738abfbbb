"""What it costs MixMAE to infer which tokens are of the same source, as MixedAE does, instead of knowing it.

python tools/analysis_tools/study.py projects/studies/guessed_sources.py
"""

_base_ = './simmim.py'

_mixmae = 'projects/studies/configs/mixmae_mixmim-swin-micro_imagenette-64px.py'

runs = dict(
    _delete_=True,
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
transfers = dict(finetune=dict(config='projects/studies/configs/classification_mixmim-swin-micro_imagenette-64px.py'))
