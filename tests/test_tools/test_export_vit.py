"""Weights out: what MAE and timm would read, and that it computes the same."""

import sys

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from references import SHARED
from tool_loading import load_tool

tool = load_tool('model_converters/export_vit.py')
VIT = dict(type='mixmae_mm.MixingViT', arch=dict(embed_dims=8, depth=2, num_heads=2), img_size=16, patch_size=4)
BLOCK = ('norm1', 'attn.qkv', 'attn.proj', 'norm2', 'mlp.fc1', 'mlp.fc2')


def official_names(depth, norm):
    """The encoder's names in MAE's files, written out."""
    layers = ['patch_embed.proj', norm, *(f'blocks.{index}.{part}' for index in range(depth) for part in BLOCK)]
    return {'cls_token', 'pos_embed', *(f'{layer}.{kind}' for layer in layers for kind in ('weight', 'bias'))}


def shake(model):
    """Make every parameter random, also biases and norms, which begin as 0 and 1."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def pretrainer():
    return shake(
        MODELS.build(
            dict(
                type='mixmae_mm.MixedAE',
                data_preprocessor=dict(type='mixmae_mm.MixingDataPreprocessor', num_sources=4, cell_size=4),
                backbone=VIT | dict(num_sources=4),
                neck=dict(
                    type='mixmae_mm.MixDecoder',
                    in_channels=8,
                    cell_size=4,
                    embed_dims=8,
                    depth=1,
                    num_heads=2,
                    grid_size=4,
                ),
                head=dict(type='mixmae_mm.MixReconstructionHead', cell_size=4),
                projection_dims=4,
            )
        )
    )


def classifier(out_type='avg_featmap', norm=False):
    init_default_scope('mmpretrain')
    necks = [dict(type='GlobalAveragePooling')] + [dict(type='ClsBatchNormNeck', input_features=8)] * norm
    head = dict(type='LinearClsHead', num_classes=5, in_channels=8)
    backbone = VIT | dict(out_type=out_type)
    model = dict(type='ImageClassifier', backbone=backbone, neck=necks if norm else necks[0], head=head)
    return shake(MODELS.build(model))


def exported(tmp_path, model, *options, out='out.pth'):
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'ours.pth')
    tool.main([str(tmp_path / 'ours.pth'), str(tmp_path / out), *options])
    return tmp_path / out


def read(path):
    return torch.load(path, weights_only=True)['model']


def reloaded(path, **settings):
    encoder = MODELS.build(VIT | dict(init_cfg=dict(type='Pretrained', checkpoint=str(path)), **settings)).eval()
    encoder.init_weights()
    return encoder


@pytest.mark.parametrize(
    ('source', 'out_type', 'norm'), [(pretrainer, 'featmap', 'norm'), (classifier, 'avg_featmap', 'fc_norm')]
)
def test_encoder_comes_back_bit_for_bit(tmp_path, source, out_type, norm):
    model, images = source(), torch.randn(2, 3, 16, 16)
    path = exported(tmp_path, model)
    names = {name for name in read(path) if not name.startswith('head.')}
    assert names == official_names(2, norm)
    with torch.no_grad():
        assert torch.equal(reloaded(path, out_type=out_type)(images)[0], model.backbone(images)[0])


@pytest.mark.shared
def test_names_are_those_of_an_official_file():
    official = torch.load(SHARED / 'mae_pretrain_tiny.pt', weights_only=True)['state_dict']
    encoder = {name for name in official if not name.startswith(('decoder_', 'mask_token'))}
    assert encoder == official_names(2, 'norm')


def test_classifier_keeps_its_head_by_the_official_name(tmp_path, capsys):
    model = classifier()
    weights = read(exported(tmp_path, model))
    assert torch.equal(weights['head.weight'], model.head.fc.weight)
    assert torch.equal(weights['head.bias'], model.head.fc.bias)
    assert len(weights) == len(official_names(2, 'fc_norm')) + 2
    assert capsys.readouterr().out.endswith('out.pth: 32 of 32 tensors, with a classification head\n')


def test_linear_probe_keeps_the_norm_of_its_head(tmp_path):
    """Officially the head is then a batch norm without parameters and a linear layer, one after the other."""
    model, images = classifier('cls_token', norm=True), torch.randn(4, 3, 16, 16)
    model.neck[1].bn.running_mean.normal_()
    weights = read(exported(tmp_path, model))
    head = torch.nn.Sequential(torch.nn.BatchNorm1d(8, affine=False, eps=1e-6), torch.nn.Linear(8, 5)).eval()
    head.load_state_dict({name.removeprefix('head.'): x for name, x in weights.items() if name.startswith('head.')})
    with torch.no_grad():
        logits = head(reloaded(tmp_path / 'out.pth', out_type='cls_token')(images)[0].flatten(1))
        torch.testing.assert_close(logits, model(images, mode='tensor'))


def test_segments_are_dropped_or_folded_as_on_loading(tmp_path, capsys):
    model = pretrainer()
    bias, segments = model.backbone.patch_embed.proj.bias, model.backbone.segment_embed
    dropped = read(exported(tmp_path, model))
    assert capsys.readouterr().out.endswith('out.pth: 30 of 55 tensors, without a classification head\n')
    folded = read(exported(tmp_path, model, '--fold-segments', out='folded.pth'))
    assert torch.equal(dropped['patch_embed.proj.bias'], bias)
    by_hand = bias + (segments[0] + segments[1] + segments[2] + segments[3]) / 4
    torch.testing.assert_close(folded['patch_embed.proj.bias'], by_hand)
    assert all(torch.equal(folded[name], x) for name, x in dropped.items() if name != 'patch_embed.proj.bias')
    torch.save(model.state_dict(), tmp_path / 'ours.pth')
    on_loading = reloaded(tmp_path / 'ours.pth', fold_segments=True)
    assert torch.equal(on_loading.patch_embed.proj.bias, folded['patch_embed.proj.bias'])


def test_safetensors_hold_the_same_bare(tmp_path):
    safetensors = pytest.importorskip('safetensors.torch')
    model = pretrainer()
    bare = safetensors.load_file(exported(tmp_path, model, out='out.safetensors'))
    weights = read(exported(tmp_path, model))
    assert bare.keys() == weights.keys()
    assert all(torch.equal(bare[name], x) for name, x in weights.items())


def test_files_are_no_larger_than_their_weights(tmp_path):
    """A row of a large tensor keeps all of it in a file, unless it is copied."""
    weights = {f'backbone.{name}': x for name, x in pretrainer().backbone.state_dict().items()}
    weights['backbone.cls_token'] = torch.randn(100_000, 1, 8)[:1]
    torch.save(weights, tmp_path / 'ours.pth')
    tool.main([str(tmp_path / 'ours.pth'), str(tmp_path / 'out.pth')])
    assert (tmp_path / 'out.pth').stat().st_size < 100_000


def test_mmpretrains_vit_computes_the_same(tmp_path):
    """An implementation that is not ours, with the names that it has for the official ones."""
    vision = pytest.importorskip('mmpretrain.models').VisionTransformer
    arch = dict(embed_dims=8, num_layers=2, num_heads=2, feedforward_channels=32)
    theirs = vision(arch=arch, img_size=16, patch_size=4, out_type='featmap')
    model, images = pretrainer(), torch.randn(2, 3, 16, 16)
    pairs = {'patch_embed.proj': 'patch_embed.projection', 'blocks': 'layers', 'norm1': 'ln1', 'norm2': 'ln2'}
    pairs |= {'norm.': 'ln1.', 'mlp.fc1': 'ffn.layers.0.0', 'mlp.fc2': 'ffn.layers.1'}
    renamed = {}
    for name, value in read(exported(tmp_path, model)).items():
        for official, own in pairs.items():
            name = name.replace(official, own)
        renamed[name] = value
    theirs.load_state_dict(renamed, strict=True)
    theirs.eval()
    with torch.no_grad():
        torch.testing.assert_close(theirs(images)[0], model.backbone(images)[0])


@pytest.mark.parametrize(('source', 'pooling'), [(pretrainer, dict(num_classes=0)), (classifier, dict(num_classes=5))])
def test_timms_vit_computes_the_same(tmp_path, source, pooling):
    timm = pytest.importorskip('timm.models.vision_transformer', reason='timm is not among the requirements')
    pooling |= dict(global_pool='avg', fc_norm=True) if pooling['num_classes'] else dict(global_pool='')
    theirs = timm.VisionTransformer(16, 4, embed_dim=8, depth=2, num_heads=2, **pooling).eval()
    model, images = source(), torch.randn(2, 3, 16, 16)
    theirs.load_state_dict(read(exported(tmp_path, model)), strict=True)
    with torch.no_grad():
        if pooling['num_classes']:
            torch.testing.assert_close(theirs(images), model(images, mode='tensor'))
        else:
            tokens = theirs(images)[:, 1:].transpose(1, 2).unflatten(2, (4, 4))
            torch.testing.assert_close(tokens, model.backbone(images)[0])


def refused(tmp_path, weights, *options, out='new/out.pth'):
    """What is said of an export that must not be made, and that nothing was written."""
    torch.save(weights, tmp_path / 'ours.pth')
    with pytest.raises(SystemExit) as stopped:
        tool.main([str(tmp_path / 'ours.pth'), str(tmp_path / out), *options])
    assert not (tmp_path / 'new').exists()
    return stopped.value.code


def test_wrong_checkpoints_are_refused(tmp_path):
    weights = pretrainer().state_dict()
    swin = dict(type='mixmae_mm.MixMIMSwin', arch=dict(embed_dims=8, depths=(1, 1), num_heads=(1, 1)), img_size=32)
    swin |= dict(window_sizes=(4, 4), out_indices=(1,))
    other = {f'backbone.{name}': value for name, value in MODELS.build(swin).state_dict().items()}
    message = refused(tmp_path, other)
    assert "ours.pth: the encoder is no MixingViT, it has ['absolute_pos_embed', 'layers.0.blocks.0.attn." in message
    scaled = weights | {'backbone.blocks.0.ls1.gamma': torch.ones(8)}
    assert "no MixingViT, it has ['blocks.0.ls1.gamma']: only plain ViTs" in refused(tmp_path, scaled)
    half = {name: value for name, value in weights.items() if name != 'backbone.pos_embed'}
    assert 'no MixingViT, it lacks cls_token, pos_embed or patch_embed' in refused(tmp_path, half)
    bare = {'cls_token': torch.zeros(1)}
    assert "no name begins with 'backbone.', so it is no checkpoint of ours; found: ['cls_token']" in refused(
        tmp_path, bare
    )
    plain = {name: value for name, value in weights.items() if 'segment' not in name}
    assert 'no segment embedding to fold: leave --fold-segments out' in refused(tmp_path, plain, '--fold-segments')


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(SystemExit, match=r'^error: there is no checkpoint .*/nowhere.pth; '):
        tool.main([str(tmp_path / 'nowhere.pth'), str(tmp_path / 'out.pth')])


def test_out_is_never_overwritten_unasked(tmp_path):
    model = pretrainer()
    (tmp_path / 'out.pth').write_text('mine')
    assert 'out.pth is there already: give another name, or --force' in refused(
        tmp_path, model.state_dict(), out='out.pth'
    )
    assert (tmp_path / 'out.pth').read_text() == 'mine'
    assert 'cls_token' in read(exported(tmp_path, model, '--force'))


def test_other_endings_and_a_missing_library_are_refused(tmp_path, monkeypatch):
    weights = pretrainer().state_dict()
    assert 'out.onnx should end in .pth or .safetensors' in refused(tmp_path, weights, out='new/out.onnx')
    monkeypatch.setitem(sys.modules, 'safetensors.torch', None)
    message = refused(tmp_path, weights, out='new/out.safetensors')
    assert '.safetensors needs `pip install safetensors`; .pth does without' in message
