"""Layouts of weights: what loads from each, what is resized or left out, and the same model in each of them."""

import json

import pytest
import torch
from checkpoint_toys import mixmim_like_mmpretrain, random_mae, vit
from references import SHARED, build_encoder, build_pretrainer, load_reference, mix_officially
from torch import nn

from mixmae_mm.checkpoint.key_mapping import to_mmpretrain, to_official
from mixmae_mm.checkpoint.loading import load_backbone, load_pretrainer
from mixmae_mm.registry import MODELS

MICRO = load_reference('mixmim_pretrain_micro.pt')
ANCHOR, THEIRS = 'patch_embed.proj.weight', 'patch_embed.projection.weight'


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(x, other[name]) for name, x in one.items())


def saved(tmp_path, content):
    torch.save(content, tmp_path / 'file.pth')
    return str(tmp_path / 'file.pth')


def test_mmpretrains_files_fill_encoder_and_pretrainer(tmp_path):
    path = saved(tmp_path, dict(state_dict=mixmim_like_mmpretrain(), meta=dict(epoch=1)))
    model, encoder = build_pretrainer(MICRO['config']), build_encoder(MICRO['config'])
    report = load_backbone(encoder, path)
    assert report.share == 1
    assert report.layout == "the names of mmpretrain's MixMIM, under 'backbone.'"
    assert report.renamed['layers.0.blocks.0.norm1.bias'] == 'backbone.layers.0.blocks.0.ln1.bias'
    assert report.skipped['neck.ln1.weight'] == 'decoder'
    load_pretrainer(model, path)
    assert equal(to_official(model.state_dict()), MICRO['state_dict'])
    assert equal(model.backbone.state_dict(), encoder.state_dict())


@pytest.mark.parametrize('distilled', [False, True])
def test_deit(tmp_path, distilled):
    """A classifier, with or without a distillation token."""
    file = {name.replace('fc_norm', 'norm'): x for name, x in random_mae('finetuning').items()}
    embedding = file['pos_embed']
    if distilled:
        file['pos_embed'] = torch.cat([embedding[:, :1], torch.full((1, 1, 8), 7.0), embedding[:, 1:]], dim=1)
        file |= {'dist_token': torch.randn(1, 1, 8), 'head_dist.weight': torch.randn(5, 8)}
    encoder = MODELS.build(vit())
    report = load_backbone(encoder, saved(tmp_path, dict(model=file)))
    assert report.share == 1
    assert torch.equal(encoder.pos_embed, embedding)
    if distilled:
        assert report.skipped['dist_token'] == 'no place in this encoder'
        assert report.skipped['head_dist.weight'] == 'head'


def test_blocks_that_hold_more_are_refused(tmp_path):
    file = random_mae() | {f'blocks.{block}.ls1.gamma': torch.ones(8) for block in range(2)}
    encoder = MODELS.build(vit())
    before = {name: x.clone() for name, x in encoder.state_dict().items()}
    with pytest.raises(ValueError, match=r"lacks 2 .*\['blocks\.0\.ls1\.gamma', "):
        load_backbone(encoder, saved(tmp_path, file))
    assert equal(before, encoder.state_dict())


def test_downstream_files_load_and_say_what_stayed_behind(tmp_path):
    encoder = build_encoder(MICRO['config'], out_indices=(0, 1, 2, 3))
    file = {f'backbone.{name}': torch.randn_like(x.float()) for name, x in encoder.state_dict().items()}
    file = {name: x for name, x in file.items() if 'index' not in name} | {'rpn_head.rpn_conv.weight': torch.zeros(1)}
    report = load_backbone(encoder, saved(tmp_path, dict(state_dict=file)))
    assert torch.equal(encoder.norm2.weight, file['backbone.norm2.weight'])
    assert report.skipped == {'rpn_head.rpn_conv.weight': 'another part of the model'}


def test_the_report_names_what_was_resized(tmp_path):
    path = saved(tmp_path, MICRO['state_dict'])
    encoder = build_encoder(MICRO['config'], img_size=(96, 64), window_sizes=(8, 8, 4, 2))
    report = load_backbone(encoder, path)
    assert report.resized == {
        'absolute_pos_embed': '16 x 16 -> 24 x 16, bicubic',
        'layers.0.blocks.0.attn.relative_position_bias_table': '4 x 4 -> 8 x 8, bicubic',
        'layers.1.blocks.0.attn.relative_position_bias_table': '4 x 4 -> 8 x 8, bicubic',
    }
    text = str(report)
    assert 'layers.*.blocks.*.attn.relative_position_bias_table: 4 x 4 -> 8 x 8, bicubic (2)' in text
    assert 'decoder_blocks.*.attn.qkv.weight: decoder' in text


@pytest.mark.shared
def test_mmpretrains_own_numbers(tmp_path):
    """A file and outputs of mmpretrain's MixMIM: the same latent, reconstruction and loss."""
    stored = load_reference('mmpretrain_mixmim_tiny.pt')
    config, arch = stored['config'], stored['config']['arch']
    model = build_pretrainer(
        dict(
            img_size=config['img_size'], patch_size=4, embed_dim=arch['embed_dims'], depths=arch['depths'],
            num_heads=arch['num_heads'], window_size=config['window_size'], decoder_dim=config['decoder_dim'],
            decoder_depth=config['decoder_depth'], decoder_num_heads=config['decoder_num_heads'],
            norm_pix_loss=config['norm_pix'], encoder_stride=32,
        )
    ).eval()  # fmt: skip
    for layer in model.neck.modules():
        if isinstance(layer, nn.LayerNorm):
            layer.eps = 1e-6  # mmpretrain's decoder has another than the official one: `norm_eps` of MixDecoder
    load_pretrainer(model, saved(tmp_path, dict(state_dict=stored['state_dict'])))
    images = mix_officially(stored['images'], stored['mask'].reshape(2, 2))
    with torch.no_grad():
        latent = model.backbone(images.mixed, images.assignment)[-1].flatten(2).transpose(1, 2)
        torch.testing.assert_close(latent, stored['latent'], atol=1e-5, rtol=0)
        reconstruction = model.decode(images).transpose(0, 1).flatten(0, 1)
        torch.testing.assert_close(reconstruction, stored['reconstruction'], atol=1e-5, rtol=0)
        loss = model.head.loss(model.decode(images), images)
        torch.testing.assert_close(sum(loss.values()), torch.as_tensor(stored['loss']), atol=1e-5, rtol=0)
    assert equal(to_mmpretrain(model.state_dict()), stored['state_dict'])


@pytest.mark.shared
@pytest.mark.parametrize('size', ['micro', 'tiny', 'tiny_384w'])
def test_official_finetuned_files(tmp_path, size):
    stored = load_reference(f'mixmim_finetune_{size}.pt')
    encoder = build_encoder(stored['config']).eval()
    report = load_backbone(encoder, saved(tmp_path, dict(model=stored['state_dict'])))
    assert report.share == 1
    assert set(report.skipped.values()) == {'head'}
    with torch.no_grad():
        pooled = encoder(stored['images'])[-1].mean(dim=(2, 3))
    torch.testing.assert_close(pooled, stored['pooled'], atol=1e-5, rtol=0)


@pytest.mark.shared
def test_base_layouts_are_mmpretrains_and_the_official_ones():
    config = dict(
        img_size=224, patch_size=4, embed_dim=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32),
        window_size=(14, 14, 14, 7), decoder_dim=512, decoder_depth=8, decoder_num_heads=16, norm_pix_loss=True,
        encoder_stride=32,
    )  # fmt: skip
    with torch.device('meta'):
        ours = build_pretrainer(config).state_dict()
    theirs = json.loads((SHARED / 'mmpretrain_mixmim_base_layout.json').read_text())
    assert {name: list(x.shape) for name, x in to_mmpretrain(ours).items()} == theirs
    official = json.loads((SHARED / 'mixmim_official_layouts.json').read_text())['pretrain/mixmim_base']
    assert {name: list(x.shape) for name, x in to_official(ours).items()} == official['shapes']


def test_one_of_two_models_in_a_file_is_taken_alone(tmp_path):
    """The other model keeps its names, which must not be mistaken for those of this one."""
    wanted = {name: x for name, x in random_mae('finetuning').items() if 'head' not in name}
    other = {name: x + 1 for name, x in wanted.items()}
    file = {f'ema.backbone.{name}': x for name, x in wanted.items()}
    file |= {f'backbone.{name}': x for name, x in other.items()}
    encoder = MODELS.build(vit(out_type='avg_featmap'))
    report = load_backbone(encoder, saved(tmp_path, file), prefix='ema.')
    assert torch.equal(encoder.cls_token, wanted['cls_token'])
    assert report.skipped['backbone.cls_token'] == 'another model'
    load_backbone(encoder, saved(tmp_path, file))
    assert torch.equal(encoder.cls_token, other['cls_token'])


def test_a_detectors_neck_is_no_decoder():
    weights = {'backbone.norm.weight': torch.ones(1), 'neck.lateral_convs.0.conv.weight': torch.ones(2)}
    assert to_official(weights).keys() == {'norm.weight'}
