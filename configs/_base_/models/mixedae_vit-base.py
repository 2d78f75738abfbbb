"""MixedAE with the base encoder. Other sizes change `arch` and set the decoder's `in_channels` to its width.

A comment marks where each open setting of the method comes from: a *recollection* is remembered but found in no source,
a *choice* is ours, and neither is the paper's (docs/mixedae.md). The decoder is MAE's.
"""

image_size = 224
patch_size = 16
num_sources = 4  # recollection

model = dict(
    type='mixmae_mm.MixedAE',
    data_preprocessor=dict(
        type='mixmae_mm.MixingDataPreprocessor',
        num_sources=num_sources,
        cell_size=patch_size,
        shares=None,  # equal parts; choice
        take_turns=False,  # one mixture per group; choice, the only one that agrees with the paper's cost
        shared_assignment=False,  # one assignment per group; choice
    ),
    backbone=dict(
        type='mixmae_mm.MixingViT',
        arch='base',
        img_size=image_size,
        patch_size=patch_size,
        num_sources=num_sources,
        segment_embedding=True,  # its existence is the paper's; learned, encoder only: recollection
        attention='homologous',  # its existence is the paper's; its form: recollection
        topk_ratio=None,  # 1 / num_sources; recollection
        homologous_layers=None,  # all blocks but the first; recollection, all is as good a guess
        exempt_cls=True,  # CLS is never dropped and not counted; choice
    ),
    neck=dict(
        type='mixmae_mm.MixDecoder',
        in_channels=768,
        grid_size=image_size // patch_size,
        cell_size=patch_size,
        embed_dims=512,
        depth=8,
        num_heads=16,
        cls_token=True,  # CLS is copied to the images of its group; choice, as in MAE
        norm_eps=1e-6,
    ),
    head=dict(
        type='mixmae_mm.MixReconstructionHead',
        cell_size=patch_size,
        norm_pix=True,  # choice, MAE's best variant
        masked_only=True,  # recollection, as in MAE
    ),
    contrast=dict(
        type='mixmae_mm.HomologousContrastiveLoss',
        temperature=0.25,  # recollection
        weight=0.1,  # recollection
    ),
    projection_dims=None,  # no head before the contrastive loss; choice
)
