"""Weights in other layouts: there and back to the bit, the same model in others' own classes; exports of encoders."""

import json

import numpy as np
import pytest
import torch
from checkpoint_toys import build_mae, mae_like_mmpretrain, mixmim_like_mmpretrain, random_mae, vit
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from references import SHARED, backbone_settings, build_pretrainer, load_reference, mix_officially
from safetensors.torch import load_file, save_file
from tiny_mixmae import tiny_mixedae, write_files
from tool_loading import load_tool
from torch import nn

from mixmae_mm.apis import get_model, model
from mixmae_mm.apis.encoder_file import read_card
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


def close(one, other):
    torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def behind(prefix, weights):
    return {prefix + name: x for name, x in weights.items()}


def run(tmp_path, content, to, *options, out='out.pth'):
    torch.save(content, tmp_path / 'in.pth')
    tool.main([str(tmp_path / 'in.pth'), str(tmp_path / out), '--to', to, *options])
    return tmp_path / out


def converted(*args):
    return torch.load(run(*args), weights_only=True)


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
    return file | behind('head.', shake(head).state_dict())


def without_decoder(weights):
    return {name: x for name, x in weights.items() if not name.startswith(('decoder', 'mask_token', 'head.'))}


OFFICIAL = {
    'mixmim, pre-training': MICRO['state_dict'],
    'mixmim, fine-tuning': FINETUNED['state_dict'],
    'mae, pre-training': random_mae(),
    'mae, fine-tuning': random_mae('finetuning'),
    'mae, linear probing': linear_probe(),
    'an encoder': without_decoder(random_mae()),
}


@pytest.mark.parametrize('name', ['state_dict', 'state_dict_ema', 'model_ema'])
def test_averaged_weights(tmp_path, capsys, name):
    """mmengine has the average under `state_dict`, and what was trained beside it; timm and DeiT the other way."""
    average, trained = random_mae(), random_mae('finetuning')
    file = {'ema_state_dict': behind('module.', trained)} if name == 'state_dict' else dict(model=trained)
    found = converted(tmp_path, file | {name: average}, 'official', '--ema')['model']
    assert equal(found, average)
    assert ', averaged (EMA)\n' in capsys.readouterr().out
    if name != 'state_dict':
        found = converted(tmp_path, {name: average}, 'official', '--ema', '--force')['model']
        assert equal(found, average)


@pytest.mark.parametrize('options', [[], ['--ema']])
def test_what_holds_nothing_by_name_is_refused(tmp_path, options):
    with pytest.raises(SystemExit, match='holds a list, not weights by name'):
        run(tmp_path, [torch.zeros(1)], 'ours', *options)


def test_without_an_average(tmp_path):
    with pytest.raises(SystemExit, match=r'\(EMA\): it has model, epoch; average while'):
        run(tmp_path, dict(model=random_mae(), epoch=3), 'ours', '--ema')
    assert not (tmp_path / 'out.pth').exists()


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


def test_what_a_layout_has_no_place_for_is_left_out_and_said(tmp_path, capsys):
    """Mmpretrain's own head is kept; a detector's neck is no decoder."""
    file = mixmim_like_mmpretrain() | {'head.layers.head.weight': torch.ones(5, 64), 'target.x': torch.ones(1)}
    ours = converted(tmp_path, file, 'ours')
    assert equal(converted(tmp_path, ours, 'mmpretrain', '--force')['state_dict'], file)
    detector = {'neck.lateral_convs.0.conv.weight': torch.ones(1), 'backbone.norm1.weight': torch.ones(16)}
    official = converted(tmp_path, file | detector, 'official', '--force')['model']
    assert official.keys() == {*MICRO['state_dict'], 'head.weight'}
    printed = capsys.readouterr().out
    assert '2 left out, neither encoder, decoder nor linear classifier: ' in printed
    assert '1 left out, the norm of an intermediate map, which only ours has: backbone.norm1.weight\n' in printed
    file = build_mae(num_sources=4).state_dict() | {'projection.0.weight': torch.ones(8, 8)}
    assert equal(converted(tmp_path, file, 'ours', '--force')['state_dict'], file)
    converted(tmp_path, file, 'official', '--force')
    assert "1 left out, only MixedAE's contrastive loss needs it: projection.*.weight" in capsys.readouterr().out


def test_a_linear_probe_computes_the_same_as_our_classifier(tmp_path):
    """The official one: CLS, a batch norm without parameters, a linear layer."""
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


def test_distillation_stays_behind(tmp_path):
    file = random_mae('finetuning')
    table = torch.cat([file['pos_embed'][:, :1], torch.ones(1, 1, 8), file['pos_embed'][:, 1:]], dim=1)
    extra = {'pos_embed': table, 'dist_token': torch.ones(1, 1, 8), 'head_dist.weight': torch.ones(5, 8)}
    assert equal(converted(tmp_path, file | extra, 'official')['model'], file)


def test_safetensors_are_read_and_written_bare(tmp_path):
    save_file(random_mae(), tmp_path / 'in.safetensors')
    tool.main([str(tmp_path / 'in.safetensors'), str(tmp_path / 'out.safetensors'), '--to', 'mmpretrain'])
    assert equal(load_file(tmp_path / 'out.safetensors'), mae_like_mmpretrain(random_mae()))


def test_classes_and_progress_go_along_and_nothing_else(tmp_path):
    meta = dict(epoch=3, iter=9, dataset_meta=dict(classes=('a', 'b')), cfg='work_dir = "/here"', seed=1)
    weights = mixmim_like_mmpretrain() | {'backbone.norm.bias': torch.randn(100_000, 64)[0]}  # with its large tensor
    path = run(tmp_path, dict(state_dict=weights, meta=meta, optimizer=dict(state=torch.zeros(10**5))), 'ours')
    kept = torch.load(path, weights_only=True)['meta']
    assert kept == dict(epoch=3, iter=9, dataset_meta=dict(classes=('a', 'b')), mixmae_mm_version=__version__)
    assert path.stat().st_size < 2_000_000 < (tmp_path / 'in.pth').stat().st_size


# -- the encoder alone


AROUND = {'rpn_head.rpn_conv.weight': torch.ones(1), 'neck.fpn_convs.0.conv.weight': torch.ones(1)}
NORMS = {'norm0.weight': torch.full((8,), 2.0), 'norm0.bias': torch.full((8,), 3.0)}
ENCODERS = {
    'official, pre-training': (dict(model=MICRO['state_dict']), without_decoder(MICRO['state_dict'])),
    'official, fine-tuning': (FINETUNED['state_dict'], without_decoder(FINETUNED['state_dict'])),
    'mmpretrain': (dict(state_dict=mixmim_like_mmpretrain(), meta={}), without_decoder(MICRO['state_dict'])),
    'ours, a detector': (behind('backbone.', random_mae() | NORMS) | AROUND, random_mae() | NORMS),
    'MAE behind module.': (dict(model=behind('module.', random_mae())), without_decoder(random_mae())),
}


@pytest.mark.parametrize('kind', ENCODERS)
def test_the_encoder_and_nothing_else(tmp_path, kind):
    content, encoder = ENCODERS[kind]
    assert equal(converted(tmp_path, content, 'ours', '--encoder-only')['state_dict'], behind('backbone.', encoder))
    bare = converted(tmp_path, content, 'official', '--encoder-only', '--force')['model']
    assert equal(bare, {name: x for name, x in encoder.items() if not name.startswith('norm0.')})


# -- MAE's layout


def classifier(out_type='avg_featmap', norm=False):
    necks = [dict(type='GlobalAveragePooling')] + [dict(type='ClsBatchNormNeck', input_features=8)] * norm
    head = dict(type='LinearClsHead', num_classes=5, in_channels=8)
    neck = necks if norm else necks[0]
    return shake(build_theirs(dict(type='ImageClassifier', backbone=vit(out_type=out_type), neck=neck, head=head)))


def encoded(path, images, **settings):
    encoder = MODELS.build(vit(init_cfg=dict(type='Pretrained', checkpoint=str(path)), **settings)).eval()
    encoder.init_weights()
    with torch.no_grad():
        return encoder(images)[0]


@pytest.mark.parametrize('source', ['pre-training', 'classifier'])
def test_files_of_mae_hold_the_encoder_and_the_head_alone(tmp_path, source):
    model = classifier() if source == 'classifier' else shake(build_mae(num_sources=4))
    official = random_mae('finetuning') if source == 'classifier' else without_decoder(random_mae())
    path, images = run(tmp_path, dict(state_dict=model.state_dict(), meta={}), 'mae'), torch.randn(2, 3, 16, 16)
    weights = torch.load(path, weights_only=True)['model']
    assert weights.keys() == official.keys()
    out_type = 'avg_featmap' if source == 'classifier' else 'featmap'
    with torch.no_grad():
        assert torch.equal(encoded(path, images, out_type=out_type), model.backbone(images)[0])


def test_segments_are_dropped_or_folded_as_on_loading(tmp_path):
    weights = shake(build_mae(num_sources=4)).state_dict()
    dropped = converted(tmp_path, weights, 'mae')['model']
    folded = converted(tmp_path, weights, 'mae', '--force', '--fold-segments')['model']
    by_hand = weights['backbone.patch_embed.proj.bias'] + weights['backbone.segment_embed'].mean(0)
    assert torch.equal(dropped['patch_embed.proj.bias'], weights['backbone.patch_embed.proj.bias'])
    torch.testing.assert_close(folded['patch_embed.proj.bias'], by_hand)
    images = torch.randn(2, 3, 16, 16)
    on_loading = encoded(tmp_path / 'in.pth', images, fold_segments=True)
    assert torch.equal(on_loading, encoded(tmp_path / 'out.pth', images))


@pytest.mark.parametrize('source', ['pre-training', 'classifier'])
def test_timms_vit_computes_the_same(tmp_path, source):
    timm = pytest.importorskip('timm.models.vision_transformer', reason='timm is not among the requirements')
    pooling = dict(num_classes=5, global_pool='avg', fc_norm=True) if source == 'classifier' else dict(global_pool='')
    theirs = timm.VisionTransformer(16, 4, embed_dim=8, depth=2, num_heads=2, **(dict(num_classes=0) | pooling)).eval()
    model, images = classifier() if source == 'classifier' else shake(build_mae()), torch.randn(2, 3, 16, 16)
    theirs.load_state_dict(converted(tmp_path, model.state_dict(), 'timm')['model'], strict=True)
    with torch.no_grad():
        if source == 'classifier':
            torch.testing.assert_close(theirs(images), model(images, mode='tensor'))
        else:
            tokens = theirs(images)[:, 1:].transpose(1, 2).unflatten(2, (4, 4))
            torch.testing.assert_close(tokens, model.backbone(images)[0])


# -- mmpretrain's own models


def build_theirs(model):
    pytest.importorskip('mmpretrain.models')
    init_default_scope('mmpretrain')
    return MODELS.build(model)


def with_their_epsilon(model):
    """Return our decoder mmpretrain's, which is not the official one."""
    for layer in model.neck.modules():
        if isinstance(layer, nn.LayerNorm):
            layer.eps = 1e-6
    return model


def test_mmpretrains_mixmim_computes_the_same(tmp_path):
    neck = dict(type='MixMIMPretrainDecoder', num_patches=4, encoder_stride=32, embed_dim=64, decoder_embed_dim=8)
    head = dict(type='MixMIMPretrainHead', norm_pix=True, loss=dict(type='PixelReconstructionLoss', criterion='L2'))
    neck |= dict(decoder_depth=1, decoder_num_heads=2)
    theirs = dict(type='MixMIM', backbone=dict(type='MixMIMPretrainTransformer', **SWIN), neck=neck, head=head)
    ours, theirs = with_their_epsilon(shake(build_pretrainer(CONFIG))), build_theirs(theirs).eval()
    weights = converted(tmp_path, dict(state_dict=ours.state_dict()), 'mmpretrain')['state_dict']
    theirs.load_state_dict(weights, strict=True)
    images = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        latent, mask = theirs.backbone(images)
        mixed = mix_officially(images, mask.reshape(2, 2))
        close(ours.encode(mixed)[-1].flatten(2).transpose(1, 2), latent)
        close(ours.decode(mixed).transpose(0, 1).flatten(0, 1), theirs.neck(latent, mask))


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


HEAD = dict(type='LinearClsHead', in_channels=8, num_classes=5)
CLASSIFIERS = {
    'swin': (BACKBONE, dict(type='MixMIMTransformer', **SWIN), HEAD | dict(in_channels=64), 64),
    'vit': (
        vit(out_type='avg_featmap'), dict(type='VisionTransformer', out_type='avg_featmap', final_norm=False, **VIT),
        HEAD, 16,
    ),
}  # fmt: skip


@pytest.mark.parametrize('kind', CLASSIFIERS)
def test_mmpretrains_classifiers_compute_the_same(tmp_path, kind):
    ours, theirs, head, size = CLASSIFIERS[kind]
    neck = dict(type='GlobalAveragePooling')
    ours = shake(build_theirs(dict(type='ImageClassifier', backbone=ours, neck=neck, head=head)))
    theirs = build_theirs(dict(type='ImageClassifier', backbone=theirs, head=head)).eval()
    weights = converted(tmp_path, dict(state_dict=ours.state_dict()), 'mmpretrain')['state_dict']
    theirs.load_state_dict(weights, strict=True)
    images = torch.randn(2, 3, size, size)
    with torch.no_grad():
        close(theirs(images), ours(images))


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
    mmpretrain = json.loads((SHARED / 'mmpretrain_mixmim_base_layout.json').read_text())
    for to, shapes in dict(mmpretrain=mmpretrain, official=official).items():
        translated = tool.translate(ours, to)
        assert {name: list(x.shape) for name, x in translated.weights.items()} == shapes
        assert translated.left_out == {}


# -- exports


@pytest.fixture
def files(tmp_path):
    """A config, the checkpoint that goes with it, and the encoder in both."""
    config, checkpoint = write_files(tmp_path, tiny_mixedae, mean=[1.0, 2.0, 3.0], std=[50.0, 60.0, 70.0])
    return config, checkpoint, model.build_encoder(Config.fromfile(config), checkpoint).cpu()


def test_one_file_describes_itself_and_can_be_exported_again(files, tmp_path, capsys):
    config, checkpoint, encoder = files
    out = tmp_path / 'vit.safetensors'
    tool.main([checkpoint, str(out), '--to', 'safetensors', '--config', config])
    assert 'vit.safetensors: MixingViT, images of 32 x 32\n' in capsys.readouterr().out
    card = read_card(out)
    assert (card.mean, card.std, card.source) == ((1.0, 2.0, 3.0), (50.0, 60.0, 70.0), 'checkpoint.pth')
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(get_model(pretrained=str(out))(images)[0], encoder(images)[0])
    more = ['--image-size', '32', '64', '--license', 'apache-2.0']
    tool.main([str(out), str(tmp_path / 'folder'), '--to', 'hub', *more])
    again = read_card(tmp_path / 'folder' / 'model.safetensors')
    assert (again.image_size, again.mean, again.source) == ((32, 64), card.mean, 'vit.safetensors')
    assert (tmp_path / 'folder' / 'README.md').read_text().startswith('---\nlicense: apache-2.0\n')


def test_onnx_takes_bytes_and_answers_as_the_encoder(files, tmp_path, capsys):
    onnxruntime = pytest.importorskip('onnxruntime', reason='needs onnx, onnxscript and onnxruntime')
    config, checkpoint, encoder = files
    out = tmp_path / 'vit.onnx'
    more = ['--config', config, '--image-size', '24', '40', '--with-normalization']
    tool.main([checkpoint, str(out), '--to', 'onnx', *more])
    assert 'images of 24 x 40; onnxruntime differs by ' in capsys.readouterr().out
    session = onnxruntime.InferenceSession(str(out), providers=['CPUExecutionProvider'])
    images = torch.randint(0, 256, (3, 3, 24, 40), dtype=torch.uint8)
    pixels = (images - torch.tensor([1.0, 2.0, 3.0])[:, None, None]) / torch.tensor([50.0, 60.0, 70.0])[:, None, None]
    with torch.no_grad():
        expected = encoder(pixels)[-1]
    (given,) = session.run(['map_0'], {'images': images.numpy()})
    assert np.abs(given - expected.numpy()).max() < 1e-5 * expected.abs().max()
    card = json.loads(session.get_modelmeta().custom_metadata_map['mixmae_mm.json'])
    assert (card['type'], card['mean'], card['normalizes']) == ('MixingViT', [1.0, 2.0, 3.0], True)
    assert card['settings']['patch_size'] == 8


def test_a_classifier_gives_its_logits(tmp_path):
    pytest.importorskip('mmpretrain', reason='needs mmpretrain')
    settings = dict(
        type='mmpretrain.ImageClassifier',
        data_preprocessor=dict(type='mmpretrain.ClsDataPreprocessor', mean=[1.0] * 3, std=[2.0] * 3, to_rgb=True),
        backbone=dict(tiny_mixedae()['backbone'], init_cfg=dict(type='Pretrained', checkpoint='gone.pth')),
        neck=dict(type='mmpretrain.GlobalAveragePooling'),
        head=dict(type='mmpretrain.LinearClsHead', num_classes=5, in_channels=8),
    )
    Config(dict(model=settings, default_scope='mmpretrain')).dump(tmp_path / 'config.py')
    classifier = build_theirs(settings).eval()
    options = ['--config', str(tmp_path / 'config.py'), '--classifier', '--with-normalization']
    out = run(tmp_path, dict(state_dict=classifier.state_dict()), 'pt2', *options, out='logits.pt2')
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    (logits,) = torch.export.load(out).module()(images)
    pooled = classifier.backbone((images.float() - 1) / 2)[-1].mean((2, 3))
    torch.testing.assert_close(logits, classifier.head.fc(pooled), atol=1e-6, rtol=1e-5)
    config, checkpoint = write_files(tmp_path, tiny_mixedae)
    with pytest.raises(SystemExit, match=r'mixmae_mm\.MixedAE, not an ImageClassifier'):
        tool.main([checkpoint, str(tmp_path / 'x.pt2'), '--to', 'pt2', '--config', config, '--classifier'])


# -- refusals


SCALED = random_mae() | {'blocks.0.ls1.gamma': torch.ones(8)}
PART = {name: x for name, x in random_mae().items() if name != 'pos_embed'}
REFUSED = {
    'no encoder': ({'conv1.weight': torch.zeros(1)}, 'ours', [], 'no name ends in patch_embed.proj.weight'),
    'two': (
        behind('a.', random_mae()) | behind('b.', random_mae()), 'ours', [], "2 encoders, under 'a.', 'b.': choose one"
    ),
    'prefix': (random_mae(), 'ours', ['--prefix', 'x.'], "no encoder under 'x.', only under ''"),
    'swin': (MICRO['state_dict'], 'mae', [], "the encoder is not a MixingViT, it has ['backbone.absolute_pos_embed'"),
    'layer scale': (SCALED, 'timm', [], "not a MixingViT, it has ['backbone.blocks.0.ls1.gamma']: only plain ViTs"),
    'part': (PART, 'timm', [], "not a MixingViT, it lacks ['backbone.pos_embed']"),
    'no segments': (random_mae(), 'mae', ['--fold-segments'], 'no segment embedding to fold: leave'),
    'no card': (random_mae(), 'hub', [], 'is not a .safetensors file, so it cannot describe its encoder'),
}  # fmt: skip


@pytest.mark.parametrize('kind', REFUSED)
def test_wrong_files_are_refused_and_nothing_written(tmp_path, kind):
    content, to, options, message = REFUSED[kind]
    with pytest.raises(SystemExit) as stopped:
        run(tmp_path, content, to, *options, out='new/out' if to == 'hub' else 'new/out.pth')
    assert message in stopped.value.code
    assert [path.name for path in tmp_path.iterdir()] == ['in.pth']


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['x.onnx', '--to', 'ours'], 'x.onnx should end in .pth or .safetensors'),
        (['x.pth', '--to', 'hub'], 'x.pth should be a folder, without an extension'),
        (['x.pt2', '--to', 'pt2', '--config', 'mixing-vit-base', '--classifier'], '--classifier needs --config'),
        (['x', '--to', 'hub', '--with-normalization'], '--with-normalization has no effect with --to hub'),
        (['x.onnx', '--to', 'onnx', '--license', 'mit'], '--license has no effect without --to hub'),
        (['x', '--to', 'hub', '--config', 'mixing-vit-base', '--cfg-options', 'a=1'], '--cfg-options need --config C'),
        (['x.onnx', '--to', 'onnx', '--encoder-only'], '--encoder-only has no effect with --to onnx'),
        (['x.pt2', '--to', 'pt2', '--image-size', '0', '32'], 'argument --image-size: 0: give 1 or more'),
    ],
)
def test_wrong_words_are_usage_errors(words, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        tool.main(['in.pth', *words])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize('fails', ['there', 'disk is full'])
def test_what_is_there_is_lost_neither_unasked_nor_by_a_failure(tmp_path, monkeypatch, fails):
    (tmp_path / 'out.pth').write_text('mine')
    if fails == 'disk is full':
        monkeypatch.setattr('os.fsync', lambda descriptor: (_ for _ in ()).throw(OSError(28, 'disk is full')))
    with pytest.raises(SystemExit, match='give another name, or --force' if fails == 'there' else fails):
        run(tmp_path, random_mae(), 'ours', *['--force'] * (fails != 'there'))
    assert (tmp_path / 'out.pth').read_text() == 'mine'
    assert sorted(path.name for path in tmp_path.iterdir()) == ['in.pth', 'out.pth']
