"""Weights translated between layouts: there and back to the bit, and the same model in mmpretrain's own classes."""

import json

import pytest
import torch
from checkpoint_toys import build_mae, mae_like_mmpretrain, mixmim_like_mmpretrain, random_mae, vit
from forked import Program
from micro_training import finish
from mmengine.registry import MODELS, init_default_scope
from references import SHARED, backbone_settings, build_pretrainer, load_reference, mix_officially
from safetensors.torch import load_file, save_file
from tool_loading import TOOLS, load_tool
from torch import nn

from mixmae_mm.version import __version__

tool = load_tool('model_converters/convert_weights.py')
MICRO = load_reference('mixmim_pretrain_micro.pt')
CONFIG = MICRO['config']
FINETUNED = load_reference('mixmim_finetune_micro.pt')
BACKBONE = backbone_settings(CONFIG)
SWIN = dict(arch=BACKBONE['arch'], img_size=64, window_size=[4, 4, 4, 2])
VIT_ARCH = dict(embed_dims=8, num_layers=2, num_heads=2, feedforward_channels=32)
VIT = dict(arch=VIT_ARCH, img_size=16, patch_size=4)


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(x, other[name]) for name, x in one.items())


def converted(tmp_path, content, to, *options, out='out.pth'):
    torch.save(content, tmp_path / 'in.pth')
    tool.main([str(tmp_path / 'in.pth'), str(tmp_path / out), '--to', to, *options])
    return torch.load(tmp_path / out, weights_only=True)


def shake(model):
    """Make every parameter and statistic random, also those that begin as 0 and 1."""
    with torch.no_grad():
        for x in model.state_dict().values():
            if x.is_floating_point():
                x.add_(0.1 * torch.rand_like(x))
    return model.eval()


def linear_probe():
    """As MAE names a classifier that learns only a linear layer behind a batch norm."""
    file = {name: x for name, x in random_mae('finetuning').items() if not name.startswith(('head.', 'fc_norm'))}
    head = nn.Sequential(nn.BatchNorm1d(8, affine=False), nn.Linear(8, 5))
    return file | {f'head.{name}': x for name, x in shake(head).state_dict().items()}


OFFICIAL = {
    'mixmim, pre-training': MICRO['state_dict'],
    'mixmim, fine-tuning': FINETUNED['state_dict'],
    'mae, pre-training': random_mae(),
    'mae, fine-tuning': random_mae('finetuning'),
    'mae, linear probing': linear_probe(),
    'an encoder': {name: x for name, x in random_mae().items() if not name.startswith(('decoder', 'mask'))},
}


@pytest.mark.parametrize('kind', OFFICIAL)
@pytest.mark.parametrize('by', ['ours', 'mmpretrain'])
def test_official_there_and_back(tmp_path, kind, by):
    between = converted(tmp_path, dict(model=OFFICIAL[kind], epoch=7), by)
    assert list(between) == ['state_dict', 'meta']
    assert between['meta'] == dict(epoch=7, mixmae_mm_version=__version__)
    assert not equal(between['state_dict'], OFFICIAL[kind])
    back = converted(tmp_path, between, 'official', '--force')
    assert list(back) == ['model']
    assert equal(back['model'], OFFICIAL[kind])


@pytest.mark.parametrize('file', [mixmim_like_mmpretrain(), mae_like_mmpretrain(random_mae())])
@pytest.mark.parametrize('by', ['ours', 'official'])
def test_mmpretrains_there_and_back(tmp_path, file, by):
    between = converted(tmp_path, dict(state_dict=file, meta={}), by)
    assert equal(converted(tmp_path, between, 'mmpretrain', '--force')['state_dict'], file)


def test_mmpretrains_other_parts_survive_ours(tmp_path):
    """A classifier with mmpretrain's own head, and something that neither we nor the official code know."""
    file = mixmim_like_mmpretrain() | {'head.layers.head.weight': torch.ones(5, 64), 'target.x': torch.ones(1)}
    between = converted(tmp_path, file, 'ours')
    assert equal(converted(tmp_path, between, 'mmpretrain', '--force')['state_dict'], file)
    official = converted(tmp_path, file, 'official', '--force')['model']
    assert official['head.weight'].shape == (5, 64)
    assert official.keys() == {*MICRO['state_dict'], 'head.weight'}


@pytest.mark.parametrize('container', ['state_dict', 'model'])
def test_ours_loads_as_our_own_models(tmp_path, container):
    weights = converted(tmp_path, {container: mixmim_like_mmpretrain()}, 'ours')['state_dict']
    model = build_pretrainer(CONFIG)
    model.load_state_dict(weights, strict=True)
    assert torch.equal(model.neck.mask_token, MICRO['state_dict']['mask_token'])
    assert torch.equal(
        model.backbone.layers[1].downsample.norm.bias, MICRO['state_dict']['layers.1.downsample.norm.bias']
    )


def test_ours_keeps_what_only_we_have(tmp_path):
    file = build_mae(num_sources=4).state_dict() | {'projection.0.weight': torch.ones(8, 8)}
    assert equal(converted(tmp_path, file, 'ours')['state_dict'], file)


def test_a_linear_probe_computes_the_same_as_our_classifier(tmp_path):
    """The official one: CLS, a batch norm without parameters, a linear layer."""
    pytest.importorskip('mmpretrain.models')
    file = linear_probe()
    necks = [dict(type='GlobalAveragePooling'), dict(type='ClsBatchNormNeck', input_features=8)]
    head = dict(type='LinearClsHead', num_classes=5, in_channels=8)
    model = build_theirs(dict(type='ImageClassifier', backbone=vit(out_type='cls_token'), neck=necks, head=head)).eval()
    file |= {'norm.weight': torch.randn(8), 'norm.bias': torch.randn(8)}
    model.load_state_dict(converted(tmp_path, file, 'ours')['state_dict'], strict=True)
    official = nn.Sequential(nn.BatchNorm1d(8, affine=False, eps=1e-6), nn.Linear(8, 5)).eval()
    official.load_state_dict({name[5:]: x for name, x in file.items() if name.startswith('head.')})
    images = torch.randn(3, 3, 16, 16)
    with torch.no_grad():
        close(model(images), official(model.backbone(images)[0].flatten(1)))


def test_what_was_done_is_said(tmp_path, capsys):
    file = dict(state_dict=build_mae(num_sources=4).state_dict() | {'projection.0.weight': torch.ones(8, 8)})
    converted(tmp_path, file, 'official')
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path}/in.pth: 52 tensors, read as ours, the names of MAE, timm and DeiT, behind 'backbone.'",
        '1 left out, only mixtures of ours need it (export_vit.py folds it): backbone.segment_embed',
        "1 left out, only MixedAE's contrastive loss needs it: projection.*.weight",
        f"{tmp_path}/out.pth: 50 tensors, the official layout, under 'model'",
    ]
    converted(tmp_path, random_mae(), 'mmpretrain', '--force')
    assert capsys.readouterr().out.splitlines() == [
        f'{tmp_path}/in.pth: 50 tensors, read as the names of MAE, timm and DeiT, with nothing before them',
        f"{tmp_path}/out.pth: 50 tensors, mmpretrain's, under 'state_dict'",
    ]


def test_only_one_model_is_taken_out_of_two(tmp_path, capsys):
    """A name of the other model may, once its own prefix is off, be that of the one that is wanted."""
    wanted, other = MICRO['state_dict'], {f'backbone.{name}': x + 1 for name, x in MICRO['state_dict'].items()}
    both = {f'ema.backbone.{name}': x for name, x in wanted.items()} | other
    weights = converted(tmp_path, both, 'ours', '--prefix', 'ema.')['state_dict']
    assert torch.equal(weights['backbone.norm.bias'], wanted['norm.bias'])
    assert '92 left out, another model: backbone.absolute_pos_embed, ' in capsys.readouterr().out


def test_a_neck_of_another_kind_is_no_decoder(tmp_path, capsys):
    """A detector has a neck too, with names that nothing official has."""
    encoder = {f'backbone.{name}': x for name, x in FINETUNED['state_dict'].items() if not name.startswith('head')}
    more = {'neck.lateral_convs.0.conv.weight': torch.ones(1), 'backbone.norm1.weight': torch.ones(16)}
    official = converted(tmp_path, dict(state_dict=encoder | more), 'official')['model']
    assert official.keys() == {name.removeprefix('backbone.') for name in encoder}
    printed = capsys.readouterr().out
    assert '1 left out, neither encoder, decoder nor linear classifier: neck.lateral_convs.*.conv.weight\n' in printed
    assert '1 left out, the norm of an intermediate map, which only ours has: backbone.norm1.weight\n' in printed


def test_distillation_stays_behind(tmp_path):
    file = random_mae('finetuning')
    table = torch.cat([file['pos_embed'][:, :1], torch.ones(1, 1, 8), file['pos_embed'][:, 1:]], dim=1)
    extra = {'pos_embed': table, 'dist_token': torch.ones(1, 1, 8), 'head_dist.weight': torch.ones(5, 8)}
    assert equal(converted(tmp_path, file | extra, 'official')['model'], file)


def test_safetensors_are_read_and_written_bare(tmp_path, capsys):
    save_file(random_mae(), tmp_path / 'in.safetensors')
    tool.main([str(tmp_path / 'in.safetensors'), str(tmp_path / 'out.safetensors'), '--to', 'mmpretrain'])
    assert equal(load_file(tmp_path / 'out.safetensors'), mae_like_mmpretrain(random_mae()))
    assert capsys.readouterr().out.endswith("out.safetensors: 50 tensors, mmpretrain's, bare\n")


def test_classes_and_progress_go_along(tmp_path):
    meta = dict(epoch=3, iter=9, dataset_meta=dict(classes=('a', 'b')), cfg='work_dir = "/here"', seed=1)
    file = dict(state_dict=mixmim_like_mmpretrain(), meta=meta, optimizer=dict(state={}))
    kept = converted(tmp_path, file, 'ours')['meta']
    assert kept == dict(epoch=3, iter=9, dataset_meta=dict(classes=('a', 'b')), mixmae_mm_version=__version__)


def test_a_file_can_be_converted_in_place(tmp_path):
    """The weights are read from the file while it is written: it is replaced only at the end."""
    torch.save(random_mae(), tmp_path / 'in.pth')
    tool.main([str(tmp_path / 'in.pth'), str(tmp_path / 'in.pth'), '--to', 'ours', '--force'])
    weights = torch.load(tmp_path / 'in.pth', weights_only=True)['state_dict']
    assert torch.equal(weights['backbone.norm.bias'], random_mae()['norm.bias'])
    assert [path.name for path in tmp_path.iterdir()] == ['in.pth']


def refused(tmp_path, content, *options, out='new/out.pth'):
    """What is said, and that nothing was written."""
    torch.save(content, tmp_path / 'in.pth')
    with pytest.raises(SystemExit) as stopped:
        tool.main([str(tmp_path / 'in.pth'), str(tmp_path / out), '--to', 'ours', *options])
    assert {path.name for path in tmp_path.iterdir()} <= {'in.pth', 'mine.pth'}
    return stopped.value.code.partition('\n')[0]


def test_wrong_files_are_refused_and_nothing_written(tmp_path):
    message = (
        f'error: {tmp_path}/in.pth: no name ends in patch_embed.proj.weight or patch_embed.projection.weight, which'
    )
    assert refused(tmp_path, {'conv1.weight': torch.zeros(1)}).startswith(message)
    two = {f'{who}.{name}': x for who in ('student', 'teacher') for name, x in random_mae().items()}
    assert refused(tmp_path, two) == (
        f"error: {tmp_path}/in.pth: there are 2 encoders, behind 'student.', 'teacher.': name one by `prefix`"
    )
    assert refused(tmp_path, random_mae(), '--prefix', 'x.').endswith(
        "there is no encoder behind 'x.'; there is one behind ''"
    )
    assert refused(tmp_path, dict(epoch=1)).endswith("in.pth holds no weights, only ['epoch']: it is not a checkpoint")


def test_out_is_checked_first(tmp_path):
    (tmp_path / 'mine.pth').write_text('mine')
    message = f'error: {tmp_path}/mine.pth is there already: give another name, or --force to overwrite it'
    assert refused(tmp_path, random_mae(), out='mine.pth') == message
    assert (tmp_path / 'mine.pth').read_text() == 'mine'
    assert refused(tmp_path, random_mae(), out='new/x.onnx').endswith('x.onnx should end in .pth or .safetensors')


def test_a_disk_that_is_full_leaves_no_half_file(tmp_path, monkeypatch):
    def fill(content, stream):
        stream.write(b'half')
        raise OSError('No space left on device')

    (tmp_path / 'mine.pth').write_text('mine')
    torch.save(random_mae(), tmp_path / 'in.pth')
    monkeypatch.setattr(torch, 'save', fill)
    with pytest.raises(SystemExit, match='error: No space left on device'):
        tool.main([str(tmp_path / 'in.pth'), str(tmp_path / 'mine.pth'), '--to', 'ours', '--force'])
    assert (tmp_path / 'mine.pth').read_text() == 'mine'
    assert sorted(path.name for path in tmp_path.iterdir()) == ['in.pth', 'mine.pth']


def test_it_runs_as_a_script(tmp_path):
    command = TOOLS / 'model_converters/convert_weights.py', tmp_path / 'no.pth', tmp_path / 'x.pth', '--to', 'ours'
    _, err = finish(Program(*command), status=1)
    assert err.startswith(f'error: there is no checkpoint {tmp_path}/no.pth\n')


# -- mmpretrain's own models


def build_theirs(model):
    pytest.importorskip('mmpretrain.models')
    init_default_scope('mmpretrain')
    return MODELS.build(model)


def their_mixmim():
    neck = dict(type='MixMIMPretrainDecoder', num_patches=4, encoder_stride=32, embed_dim=64, decoder_embed_dim=8)
    head = dict(type='MixMIMPretrainHead', norm_pix=True, loss=dict(type='PixelReconstructionLoss', criterion='L2'))
    neck |= dict(decoder_depth=1, decoder_num_heads=2)
    return build_theirs(
        dict(type='MixMIM', backbone=dict(type='MixMIMPretrainTransformer', **SWIN), neck=neck, head=head)
    )


def with_their_epsilon(model):
    """Return our decoder mmpretrain's, which is not the official one."""
    for layer in model.neck.modules():
        if isinstance(layer, nn.LayerNorm):
            layer.eps = 1e-6
    return model


def close(one, other):
    torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def test_mmpretrains_mixmim_computes_the_same(tmp_path):
    ours, theirs = with_their_epsilon(shake(build_pretrainer(CONFIG))), their_mixmim().eval()
    weights = converted(tmp_path, dict(state_dict=ours.state_dict()), 'mmpretrain')['state_dict']
    theirs.load_state_dict(weights, strict=True)
    images = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        latent, mask = theirs.backbone(images)
        mixed = mix_officially(images, mask.reshape(2, 2))
        close(ours.encode(mixed)[-1].flatten(2).transpose(1, 2), latent)
        close(ours.decode(mixed).transpose(0, 1).flatten(0, 1), theirs.neck(latent, mask))


def test_mmpretrains_mixmim_classifier_computes_the_same(tmp_path):
    head = dict(type='LinearClsHead', num_classes=5, in_channels=64)
    around = dict(type='ImageClassifier', head=head)
    theirs = build_theirs(around | dict(backbone=dict(type='MixMIMTransformer', **SWIN))).eval()
    ours = shake(build_theirs(around | dict(backbone=BACKBONE, neck=dict(type='GlobalAveragePooling'))))
    weights = converted(tmp_path, dict(state_dict=ours.state_dict()), 'mmpretrain')['state_dict']
    theirs.load_state_dict(weights, strict=True)
    with torch.no_grad():
        images = FINETUNED['images']
        close(theirs(images), ours(images))
        theirs.load_state_dict(converted(tmp_path, FINETUNED['state_dict'], 'mmpretrain', '--force')['state_dict'])
        close(theirs(images), FINETUNED['logits'])


def test_mmpretrains_mae_computes_the_same(tmp_path):
    neck = dict(type='MAEPretrainDecoder', num_patches=16, patch_size=4, embed_dim=8, decoder_embed_dim=8)
    neck |= dict(decoder_depth=1, decoder_num_heads=2)
    head = dict(type='MAEPretrainHead', patch_size=4, loss=dict(type='PixelReconstructionLoss', criterion='L2'))
    theirs = build_theirs(dict(type='MAE', backbone=dict(type='MAEViT', **VIT), neck=neck, head=head)).eval()
    theirs.load_state_dict(converted(tmp_path, random_mae(), 'mmpretrain')['state_dict'], strict=True)
    ours = with_their_epsilon(build_mae()).eval()
    ours.load_state_dict(converted(tmp_path, random_mae(), 'ours', '--force')['state_dict'], strict=True)
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        tokens = theirs.backbone(images, mask=None)[0]
        encoded = ours.backbone.encode(images)
        close(encoded.cls, tokens[:, 0])
        close(encoded.maps[0].flatten(2).transpose(1, 2), tokens[:, 1:])
        rebuilt = ours.neck(encoded.maps, torch.zeros(1, 4, 4, dtype=torch.long), 1, encoded.cls)
        close(rebuilt[:, 0], theirs.neck(tokens, torch.arange(16).expand(2, -1)))


def test_mmpretrains_vit_classifier_computes_the_same(tmp_path):
    head = dict(type='LinearClsHead', num_classes=5, in_channels=8)
    around = dict(type='ImageClassifier', head=head)
    theirs = dict(type='VisionTransformer', out_type='avg_featmap', final_norm=False, **VIT)
    theirs = build_theirs(around | dict(backbone=theirs)).eval()
    parts = dict(backbone=vit(out_type='avg_featmap'), neck=dict(type='GlobalAveragePooling'))
    ours = shake(build_theirs(around | parts))
    weights = converted(tmp_path, dict(state_dict=ours.state_dict()), 'mmpretrain')['state_dict']
    theirs.load_state_dict(weights, strict=True)
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        close(theirs(images), ours(images))


@pytest.mark.shared
def test_mmpretrains_own_file_there_and_back(tmp_path):
    file = load_reference('mmpretrain_mixmim_tiny.pt')['state_dict']
    for by in ('ours', 'official'):
        between = converted(tmp_path, dict(state_dict=file), by, '--force')
        assert equal(converted(tmp_path, between, 'mmpretrain', '--force')['state_dict'], file)


@pytest.mark.shared
def test_the_base_model_has_the_names_and_shapes_of_both():
    config = dict(
        img_size=224, patch_size=4, embed_dim=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32),
        window_size=(14, 14, 14, 7), decoder_dim=512, decoder_depth=8, decoder_num_heads=16, norm_pix_loss=True,
        encoder_stride=32,
    )  # fmt: skip
    with torch.device('meta'):
        ours = build_pretrainer(config).state_dict()
    official = json.loads((SHARED / 'mixmim_official_layouts.json').read_text())['pretrain/mixmim_base']['shapes']
    expected = dict(
        mmpretrain=json.loads((SHARED / 'mmpretrain_mixmim_base_layout.json').read_text()), official=official
    )
    for to, shapes in expected.items():
        model = tool.translate(ours, to)
        assert {name: list(x.shape) for name, x in model.weights.items()} == shapes
        assert model.left_out == {}
