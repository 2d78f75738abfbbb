"""Forward and backward passes against numbers made with the official MixMIM."""

import json

import pytest
import torch
from counting import set_zero
from on_meta import on_meta
from references import SHARED, build_encoder, build_pretrainer, load_reference, mix_officially, our_name
from tiny_mixmae import mixmae

from mixmae_mm.mixing import take_turns
from mixmae_mm.models import MixMIMSwin
from mixmae_mm.registry import MODELS

SHARED_ONLY = pytest.mark.shared
PRETRAIN = ['micro', pytest.param('tiny', marks=SHARED_ONLY), pytest.param('tiny_224', marks=SHARED_ONLY)]
FINETUNE = ['micro', pytest.param('tiny', marks=SHARED_ONLY), pytest.param('tiny_384w', marks=SHARED_ONLY)]


def load_pretrainer(name):
    reference = load_reference(f'mixmim_pretrain_{name}.pt')
    model = build_pretrainer(reference['config'])
    model.load_state_dict({our_name(key): value for key, value in reference['state_dict'].items()}, strict=True)
    return model.eval(), reference


def record_stages(backbone):
    outputs = []
    # officially merging belongs to a stage; the last has none
    for module in (*(stage.downsample for stage in backbone.layers[:-1]), backbone.layers[-1]):
        module.register_forward_hook(lambda module, args, out: outputs.append(out.flatten(1, 2)))
    return outputs


@pytest.mark.parametrize('training', [True, False], ids=['by segments', 'by mask'])
@pytest.mark.parametrize('name', PRETRAIN)
def test_pretraining(name, training):
    model, reference = load_pretrainer(name)
    model.train(training)
    images = mix_officially(reference['images'], reference['mask'])
    stages = record_stages(model.backbone)
    features = model.encode(images)
    predictions = model.neck(features, images.assignment, 2)
    loss = model.head.loss(predictions, images)['loss_reconstruction']
    loss.backward()

    for ours, official in zip(stages, reference['layer_outputs'], strict=True):
        torch.testing.assert_close(ours, official, atol=1e-5, rtol=0)
    torch.testing.assert_close(features[0].flatten(2).transpose(1, 2), reference['latent'], atol=1e-5, rtol=0)
    official_order = predictions.transpose(0, 1).flatten(0, 1)
    torch.testing.assert_close(official_order, reference['reconstruction'], atol=1e-5, rtol=0)
    torch.testing.assert_close(loss, reference['loss'], atol=1e-5, rtol=0)
    norms = {name: p.grad.norm() for name, p in model.named_parameters() if p.requires_grad}
    official_norms = {our_name(key): torch.tensor(value) for key, value in reference['grad_norms'].items()}
    torch.testing.assert_close(norms, official_norms, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize('name', PRETRAIN)
def test_taking_turns_is_the_official_pairing(name):
    model, reference = load_pretrainer(name)
    official = mix_officially(reference['images'], reference['mask'])
    half = len(reference['images']) // 2
    pairs = take_turns(official.sources[:half])
    mixed = model.data_preprocessor.mix(reference['images'])._replace(sources=pairs, assignment=official.assignment)
    order = torch.tensor([index for i in range(half) for index in (i, 2 * half - 1 - i)])
    ours = mixed._replace(mixed=official.mixed[order])
    loss = model.loss(ours)['loss_reconstruction']
    torch.testing.assert_close(loss, reference['loss'], atol=1e-5, rtol=0)


@pytest.mark.parametrize('grad', [True, False], ids=['training', 'inference'])
@pytest.mark.parametrize('name', FINETUNE)
def test_finetuning(name, grad):
    reference = load_reference(f'mixmim_finetune_{name}.pt')
    weights = dict(reference['state_dict'])
    head_weight, head_bias = weights.pop('head.weight'), weights.pop('head.bias')
    encoder = build_encoder(reference['config']).eval()
    encoder.load_state_dict(weights, strict=True)
    stages = record_stages(encoder)
    with torch.set_grad_enabled(grad):
        pooled = encoder(reference['images'])[0].mean(dim=(2, 3))
    for ours, official in zip(stages, reference['layer_outputs'], strict=True):
        torch.testing.assert_close(ours, official, atol=1e-5, rtol=0)
    torch.testing.assert_close(pooled, reference['pooled'], atol=1e-5, rtol=0)
    torch.testing.assert_close(pooled @ head_weight.T + head_bias, reference['logits'], atol=1e-5, rtol=0)


def settings_of(layout):
    size, _, resolution = layout.removeprefix('mixmim_').partition('_')
    windows = (16, 16, 24, 12) if resolution else (14, 14, 14, 7)
    return dict(arch=size, img_size=int(resolution or 224), window_sizes=windows)


@pytest.mark.shared
@pytest.mark.parametrize(
    'layout', ['mixmim_base', 'mixmim_large', 'mixmim_huge', 'mixmim_base_384', 'mixmim_large_384']
)
def test_official_encoder_layouts(layout):
    official = json.loads((SHARED / 'mixmim_official_layouts.json').read_text())[f'finetune/{layout}']
    with on_meta():
        encoder = MixMIMSwin(**settings_of(layout))
    ours = {name: list(value.shape) for name, value in encoder.state_dict().items()}
    shapes = official['shapes']
    head = {name: shapes.pop(name) for name in ('head.weight', 'head.bias')}
    assert ours == shapes
    classes, features = head['head.weight']
    head_size = classes * features + classes
    assert [size + head_size for size in count(encoder)] == [official['params'], official['trainable']]


@pytest.mark.shared
@pytest.mark.parametrize('size', ['base', 'large', 'huge'])
def test_official_pretraining_layouts(size):
    official = json.loads((SHARED / 'mixmim_official_layouts.json').read_text())[f'pretrain/mixmim_{size}']
    with on_meta():
        model = build_full_pretrainer(size)
    ours = {name: list(value.shape) for name, value in model.state_dict().items()}
    assert ours == {our_name(name): shape for name, shape in official['shapes'].items()}
    assert count(model) == (official['params'], official['trainable'])


@pytest.mark.parametrize(
    ('size', 'total', 'trainable'),
    [('base', 114_665_784, 114_239_288), ('large', 223_468_244, 222_841_044), ('huge', 684_709_594, 683_580_634)],
)
def test_parameter_counts(size, total, trainable):
    with on_meta():
        model = build_full_pretrainer(size)
    assert count(model) == (total, trainable)
    assert len(model.state_dict()) == 456


def build_full_pretrainer(size):
    channels = {'base': 1024, 'large': 1536, 'huge': 2816}[size]
    decoder = dict(embed_dims=512, depth=8, num_heads=16)
    return MODELS.build(mixmae(dict(arch=size), channels, 7, 32, neck=decoder))


def count(model):
    """Count all parameters, and those that are trained."""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(size for size, _ in sizes), sum(size for size, trained in sizes if trained)


@pytest.mark.slow
def test_multiply_adds():
    """Official, counted by fvcore: 16.35 G to encode an image with base, 19.04 G for a pre-training forward pass."""
    counting = pytest.importorskip('fvcore.nn', reason='counts operations')
    with on_meta():
        model = build_full_pretrainer('base').eval()
    set_zero(model)
    image = torch.randn(2, 3, 224, 224)
    mixed = model.data_preprocessor.mix(image)

    def count_all(module, inputs):
        analysis = counting.FlopCountAnalysis(module, inputs)
        return analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total() / 1e9

    # with gradients on, attention is written out, so that all of it is counted
    encoder = count_all(model.backbone, (image[:1],))
    decoder = count_all(Decode(model, mixed), (model.encode(mixed)[0],)) / 2
    assert encoder == pytest.approx(16.35, rel=0.005)
    assert encoder + decoder == pytest.approx(19.04, rel=0.005)


class Decode(torch.nn.Module):
    """The decoder alone, as something that fvcore can trace."""

    def __init__(self, model, mixed):
        super().__init__()
        self.neck, self.mixed = model.neck, mixed

    def forward(self, features):
        return self.neck((features,), self.mixed.assignment, 2)
