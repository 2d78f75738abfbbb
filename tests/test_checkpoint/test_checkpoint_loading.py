"""Encoders and whole pre-training models from files: what loads, and what is refused with which words."""

from argparse import Namespace

import pytest
import torch
from checkpoint_toys import build_mae, random_mae, vit
from mmengine.config import ConfigDict
from references import build_encoder, build_pretrainer, load_reference, our_name
from tiny_mixmae import tiny_model

from mixmae_mm.checkpoint.loading import load_backbone
from mixmae_mm.checkpoint.report import joined
from mixmae_mm.registry import MODELS

REFERENCE = load_reference('mixmim_pretrain_micro.pt')
CONFIG = REFERENCE['config']


def saved(tmp_path, content):
    torch.save(content, tmp_path / 'file.pth')
    return str(tmp_path / 'file.pth')


def copied(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


@pytest.mark.parametrize('layout', ['mmengine', 'official', 'bare'])
def test_layouts(tmp_path, layout):
    official = REFERENCE['state_dict']
    ours = {our_name(name): value for name, value in official.items()}
    content = {
        'mmengine': dict(state_dict=ours, meta={}),
        'official': dict(model=official, epoch=3, args=Namespace(lr=1)),
        'bare': official,
    }
    encoder = build_encoder(CONFIG)
    load_backbone(encoder, saved(tmp_path, content[layout]))
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, official[name]), name


def test_init_cfg_takes_the_encoder_that_its_prefix_names(tmp_path):
    """Without it, the file's own encoder is taken: that behind `backbone.`."""
    student, teacher = (build_encoder(CONFIG).state_dict() for _ in range(2))
    file = {f'backbone.{name}': x for name, x in student.items()}
    file |= {f'teacher.backbone.{name}': x for name, x in teacher.items()}
    for prefix, stored in [(None, student), ('backbone.', student), ('teacher.', teacher)]:
        init = dict(type='Pretrained', checkpoint=saved(tmp_path, file), prefix=prefix)
        encoder = build_encoder(CONFIG, init_cfg=init)
        encoder.init_weights()
        assert all(torch.equal(x, stored[name]) for name, x in encoder.state_dict().items()), prefix


def test_another_model_is_refused(tmp_path):
    path = saved(tmp_path, dict(state_dict={'backbone.conv1.weight': torch.zeros(4, 3, 7, 7)}))
    message = r"file.pth does not fit this MixMIMSwin: no name ends in .* found: \['backbone.conv1.weight'\]"
    with pytest.raises(ValueError, match=message):
        load_backbone(build_encoder(CONFIG), path)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ('layers.3', r"holds 38% of the parameters, at least 95% are needed. Missing: \['layers.3.bl"),
        ('absolute_pos_embed', r"97% of .*, but not all position embeddings. Missing: \['absolute_pos_embed'\]; found"),
        ({'norm.bias': torch.zeros(3)}, 'its sizes differ: norm.bias is'),
    ],
)
def test_a_part_of_a_model_or_one_of_another_size_is_refused_and_nothing_loaded(tmp_path, change, message):
    file = {name: value + 1 for name, value in REFERENCE['state_dict'].items()}
    if isinstance(change, dict):
        file |= change
    else:
        file = {name: value for name, value in file.items() if not name.startswith(change)}
    encoder = build_encoder(CONFIG)
    before = copied(encoder)
    with pytest.raises(ValueError, match=message):
        load_backbone(encoder, saved(tmp_path, file))
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


def test_new_norms_of_a_dense_task_may_be_missing(tmp_path):
    encoder = build_encoder(CONFIG, out_indices=(0, 1, 2, 3))
    load_backbone(encoder, saved(tmp_path, REFERENCE['state_dict']))
    assert torch.equal(encoder.norm.weight, REFERENCE['state_dict']['norm.weight'])
    assert torch.equal(encoder.norm0.weight, torch.ones(8))


# -- plain ViTs and MAE


def pretrained(tmp_path, content, **settings):
    return dict(type='Pretrained', checkpoint=saved(tmp_path, content), **settings)


@pytest.mark.parametrize(
    ('layout', 'out_type', 'fresh'),
    [
        ('pretraining', 'featmap', set()),
        ('pretraining', 'cls_token', set()),
        ('pretraining', 'avg_featmap', {'fc_norm.weight', 'fc_norm.bias'}),
        ('finetuning', 'avg_featmap', set()),
    ],
)
def test_official_mae_files_load_into_the_vit(tmp_path, layout, out_type, fresh):
    file = random_mae(layout)
    encoder = MODELS.build(vit(out_type=out_type, init_cfg=pretrained(tmp_path, dict(model=file))))
    before = copied(encoder)
    encoder.init_weights()
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name] if name in fresh else file[name]), name


def test_what_little_is_missing_is_reported_or_refused_as_the_user_sets(tmp_path):
    file = saved(tmp_path, random_mae('finetuning'))
    encoder = MODELS.build(vit())
    report = load_backbone(encoder, file)
    assert report.missing == ['norm.bias', 'norm.weight']
    total = sum(p.numel() for p in encoder.parameters())
    assert report.share == pytest.approx(1 - 16 / total)
    assert 'MISSING, not loaded' in str(report)
    init = dict(type='Pretrained', checkpoint=file, min_share=1)
    with pytest.raises(ValueError, match=r"MixingViT: .*Missing: \['norm\.bias', 'norm\.w"):
        MODELS.build(vit(init_cfg=init)).init_weights()


@pytest.mark.parametrize(
    ('file', 'message'),
    [
        (random_mae(dims=16), 'file.pth does not fit this MixingViT: its sizes differ: '),
        (random_mae(depth=1), r"Missing: \['blocks.1.attn.proj.bias'"),
        (REFERENCE['state_dict'], r"the names of MixMIM, .* holds 18% of .* Missing: \['blocks.0.attn.proj.b"),
    ],
)
def test_other_encoders_are_refused_by_the_vit(tmp_path, file, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(vit(init_cfg=pretrained(tmp_path, file))).init_weights()


# -- whole pre-training models


@pytest.mark.parametrize('method', ['mae', 'mixmim'])
def test_official_files_fill_a_whole_pretrainer(tmp_path, method):
    file = random_mae() if method == 'mae' else REFERENCE['state_dict']
    model = build_mae() if method == 'mae' else build_pretrainer(CONFIG)
    model.init_cfg = pretrained(tmp_path, file)
    model.init_weights()
    loaded = model.state_dict()
    assert loaded.keys() == {our_name(name) for name in file}
    assert all(torch.equal(loaded[our_name(name)], value) for name, value in file.items())
    assert model.init_cfg == []  # or mmengine would load it again, its own way


@pytest.mark.parametrize('prefix', ['', 'student.'])
def test_our_own_files_fill_a_whole_pretrainer(tmp_path, prefix):
    source = build_mae(num_sources=4)
    file = dict(state_dict={prefix + name: value for name, value in source.state_dict().items()}, meta={})
    model = build_mae(pretrained(tmp_path, file, prefix=prefix or None), num_sources=4)
    model.init_weights()
    assert 'backbone.segment_embed' in model.state_dict()
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in model.state_dict().items())


def test_segments_start_anew_or_stay_behind(tmp_path):
    file = random_mae()
    mixed = build_mae(pretrained(tmp_path, file), num_sources=4)
    before = mixed.backbone.segment_embed.clone()
    mixed.init_weights()
    assert torch.equal(mixed.backbone.segment_embed, before)
    assert torch.equal(mixed.backbone.cls_token, file['cls_token'])
    plain = build_mae(pretrained(tmp_path, mixed.state_dict()))
    plain.init_weights()
    assert torch.equal(plain.backbone.cls_token, file['cls_token'])


def test_position_embeddings_of_encoder_and_decoder_are_resized(tmp_path):
    file = random_mae()
    for name in ('pos_embed', 'decoder_pos_embed'):
        file[name] = torch.arange(17.0)[None, :, None].expand(1, 17, 8).contiguous()
    model = build_mae(pretrained(tmp_path, file), grid=8)
    model.init_weights()
    for embedding in (model.backbone.pos_embed, model.neck.decoder_pos_embed):
        assert embedding.shape == (1, 65, 8)
        assert embedding[0, 0].eq(0).all()
        assert embedding[0, 1:].mean().item() == pytest.approx(8.5, abs=1e-3)


def test_parts_load_their_own_files_and_the_whole_goes_over_them(tmp_path):
    whole = random_mae()
    torch.save({name: torch.zeros_like(value) for name, value in whole.items()}, tmp_path / 'part.pth')
    part = dict(type='Pretrained', checkpoint=str(tmp_path / 'part.pth'))
    for init, expected in ((None, torch.zeros(8)), (pretrained(tmp_path, whole), whole['norm.weight'])):
        model = build_mae(init, backbone_init=dict(part))
        model.init_weights()
        assert torch.equal(model.backbone.norm.weight, expected)


@pytest.mark.parametrize(
    ('part', 'message'),
    [
        (('mask_token', 'decoder_'), r"holds \d\d% of .* Missing: \['neck.decoder_blocks.0.attn.proj.bias'"),
        (('decoder_pos_embed',), r"all are needed. Missing: \['neck.decoder_pos_embed'"),
        (('blocks.1.', 'norm.'), r"all are needed. Missing: \['backbone.blocks.1.attn.proj.bias'"),
        (dict(depth=3), r"MixedAE: this model lacks 12 of .*\['backbone.blocks.2.attn.proj.bias'"),
        (dict(decoder_depth=2), r"MixedAE: this model lacks 12 of .*\['neck.decoder_blocks.1.attn.proj.bias'"),
    ],
)
@pytest.mark.parametrize('rename', [str, our_name])
def test_a_part_of_a_pretrainer_and_a_deeper_one_are_refused_and_nothing_loaded(tmp_path, part, message, rename):
    file = random_mae(**part) if isinstance(part, dict) else random_mae()
    left_out = () if isinstance(part, dict) else part
    model = build_mae(
        pretrained(tmp_path, {rename(name): value for name, value in file.items() if not name.startswith(left_out)})
    )
    before = copied(model)
    with pytest.raises(ValueError, match=message):
        model.init_weights()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_report_counts_tensors_of_all_blocks_together_and_names_twelve_kinds():
    letters = list('abcdefghijkl')
    assert joined(['blocks.0.w', 'blocks.11.w', 'norm']) == ['blocks.*.w (2)', 'norm']
    assert joined(letters) == letters
    assert joined([*letters, 'm', 'n']) == [*letters, '... and 2 more kinds']


@pytest.mark.parametrize('init', [dict(checkpoint='file.pth'), 'file.pth', [dict(checkpoint='file.pth')]])
@pytest.mark.parametrize('part', ['backbone', 'model'])
def test_an_init_cfg_without_type_is_refused(part, init):
    config = tiny_model()
    (config['backbone'] if part == 'backbone' else config)['init_cfg'] = init
    with pytest.raises(ValueError, match=r"^init_cfg of MixM.* must be a dict with a type, such as dict\(type='Pretr"):
        MODELS.build(ConfigDict(config)).init_weights()
