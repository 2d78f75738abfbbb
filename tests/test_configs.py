"""Every shipped config: names, numbers, schedules, pipelines, and that what it describes can be built."""

import ast
import copy
import functools
import itertools
import math
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from metafiles import parameters
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS, init_default_scope
from on_meta import on_meta
from PIL import Image
from torch import nn

from mixmae_mm import registry
from mixmae_mm.checkpoint.loading import NEW_IN_TRANSFER
from mixmae_mm.datasets import SeededIndex
from mixmae_mm.models.backbones.archs import VIT_ARCHS as ARCHS
from mixmae_mm.utils.launching import argument_parser, read_config

ROOT = Path(__file__).parents[1] / 'configs'
FILES = sorted(path for path in ROOT.rglob('*.py') if '_base_' not in path.parts)
OURS = [path for path in FILES if path.parent.name in ('mixmae', 'mixedae', 'mae', 'classification')]
PRETRAINING = [path for path in OURS if path.parent.name != 'classification']
FINETUNING = [path for path in OURS if path.parent.name == 'classification']
MICRO = [path for path in OURS if 'micro' in path.name]
BATCH = re.compile(r'_(?P<gpus>\d+)xb(?P<batch>\d+)(-accu(?P<accumulation>\d+))?-')
EPOCHS = re.compile(r'-(\d+)e_')

PER_CLASS, TOP_1 = 'mmpretrain.SingleLabelMetric', 'mmpretrain.Accuracy'
# smaller sets: class of mmpretrain, classes, splits, metric
SETS = {
    'aircraft': ('FGVCAircraft', 100, ('trainval', 'test'), PER_CLASS),
    'caltech101': ('Caltech101', 102, ('train', 'test'), PER_CLASS),
    'cars': ('StanfordCars', 196, ('train', 'test'), TOP_1),
    'cifar10': ('CIFAR10', 10, ('train', 'test'), TOP_1),
    'cifar100': ('CIFAR100', 100, ('train', 'test'), TOP_1),
    'dtd': ('DTD', 47, ('trainval', 'test'), TOP_1),
    'flowers102': ('Flowers102', 102, ('trainval', 'test'), PER_CLASS),
    'food101': ('Food101', 101, ('train', 'test'), TOP_1),
    'pets': ('OxfordIIITPet', 37, ('trainval', 'test'), PER_CLASS),
    'sun397': ('SUN397', 397, ('train', 'test'), TOP_1),
}
CLASSES = {'in1k': 1000, 'inat18': 8142, 'places205': 205, 'places365': 365, 'imagenette': 10, 'shapes': 10}
CLASSES |= {name: classes for name, (_, classes, _, _) in SETS.items()}

# MixMIM: measured with the official code; MAE: mmpretrain's 111.9 M; MixedAE: a vector a source more; ViT: timm's
PARAMETERS = {
    'mixmae/mixmae_mixmim-swin-base-w14_16xb128-amp-coslr-600e_in1k': 114_665_784,
    'mixmae/mixmae_mixmim-swin-large-w14_16xb128-amp-coslr-600e_in1k': 223_468_244,
    'mixmae/mixmae_mixmim-swin-huge-w14_16xb128-amp-coslr-600e_in1k': 684_709_594,
    'classification/mixmim-swin-base-w14_8xb128-amp-coslr-100e_in1k': 88_344_352,
    'classification/mixmim-swin-base-w16_8xb128-amp-coslr-100e_in1k-384px': 89_577_440,
    'classification/mixmim-swin-large-w14_8xb128-amp-coslr-100e_in1k': 197_396_668,
    'classification/mixmim-swin-large-w16_8xb128-amp-coslr-100e_in1k-384px': 199_246_300,
    'classification/mixmim-swin-huge-w14_8xb128-amp-coslr-50e_in1k': 659_262_658,
    'mae/mae_vit-base-p16_32xb128-amp-coslr-1600e_in1k': 111_907_840,
    'mae/mae_vit-large-p16_32xb128-amp-coslr-1600e_in1k': 329_541_888,
    'mixedae/mixedae_vit-base-p16_32xb128-amp-coslr-1600e_in1k': 111_907_840 + 3_072,
    'mixedae/mixedae_vit-large-p16_32xb128-amp-coslr-1600e_in1k': 329_541_888 + 4_096,
    'mixedae/mixedae_vit-base-p16-naive_32xb128-amp-coslr-300e_in1k': 111_907_840,
    'classification/vit-small-p16_8xb128-amp-coslr-100e_in1k': 22_050_664,
    'classification/vit-base-p16_8xb128-amp-coslr-100e_in1k': 86_567_656,
    'classification/vit-large-p16_8xb128-amp-coslr-50e_in1k': 304_326_632,
    'classification/vit-base-p16-linear_8xb2048-amp-coslr-90e_in1k': 86_567_656,
}


def each(paths):
    return pytest.mark.parametrize('path', paths, ids=lambda path: path.stem)


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


@functools.cache
def from_file(path):
    return Config.fromfile(path)


def read(path):
    """Read a config, relative to their folder; what a test changes in it stays there."""
    return copy.deepcopy(from_file(ROOT / path))


def build_model(config, device='meta'):
    from mmpretrain.registry import MODELS

    stock = not config.model.backbone.type.startswith('mixmae_mm.')
    # mmpretrain's backbones look at numbers while they are built
    with on_meta() if device == 'meta' and not stock else torch.device('cpu'):
        return MODELS.build(config.model)


def build_optimizer(model, config):
    """As tools/train.py has it without a GPU."""
    settings = {name: value for name, value in config.optim_wrapper.items() if name != 'dtype'}
    return build_optim_wrapper(model, dict(settings, type='OptimWrapper'))


def settings_with(key, node):
    """Find every dict with a key, at any depth."""
    if isinstance(node, Mapping):
        if key in node:
            yield node
        node = node.values()
    if isinstance(node, (list, tuple)) or not isinstance(node, (str, int, float, type(None))):
        for value in node:
            yield from settings_with(key, value)


@each(FILES)
def test_a_config_opens_with_its_note(path):
    note = ast.get_docstring(ast.parse(path.read_text()))
    assert re.search(r'measured here|reported by|untuned', note, re.IGNORECASE), 'say where the settings come from'
    commands = re.findall(r'configs/\S+\.py', note)
    assert f'configs/{path.relative_to(ROOT).as_posix()}' in commands
    assert all((ROOT.parent / command).is_file() for command in commands)


@each(FILES)
def test_precision_and_speed_settings(path):
    """bfloat16, but where mmcv's RoIAlign does not know it; cuDNN searches where batches have one size."""
    config = read(path)
    if '-amp-' in path.name:
        assert config.optim_wrapper.dtype == ('float16' if 'roi_head' in config.model else 'bfloat16')
    assert config.optim_wrapper.get('loss_scale') is None
    assert config.env_cfg.cudnn_benchmark == (path.parent.name != 'detection')


@each(FINETUNING)
def test_head_and_preprocessor_have_the_classes_of_the_data(path):
    model = read(path).model
    number = CLASSES[re.search(r'_([a-z]+\d*k?)[^_]*\.py$', path.name)[1]]
    assert {model.head.num_classes, model.data_preprocessor.get('num_classes', number)} == {number}


def longest_chain(path):
    """Count the files that a config stands on, one on the other."""
    assigned = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Assign)]
    bases = [ast.literal_eval(node.value) for node in assigned if getattr(node.targets[0], 'id', '') == '_base_']
    bases = [bases[0]] if bases and isinstance(bases[0], str) else sum(bases, [])
    return max((1 + longest_chain(path.parent / base) for base in bases), default=0)


@each(FILES)
def test_a_config_is_read_within_three_steps(path):
    assert longest_chain(path) <= 3
    text = path.read_text()
    assert not re.search(r'pipeline\[\d', text), 'name a step by its type'
    assert '::' not in text, 'a config stands on this repository only'


@each(OURS)
def test_our_types_carry_their_scope(path):
    registries = [value for value in vars(registry).values() if isinstance(value, registry.roots.Registry)]
    for own in registries:
        own.import_from_location()
    ours = {name for own in registries for name in own.module_dict}
    types = {node['type'] for node in settings_with('type', read(path).to_dict())}
    assert not types & ours
    assert any(name.startswith('mixmae_mm.') for name in types)


@each(OURS)
def test_batch_and_epochs_are_those_of_the_name(path):
    config = read(path)
    batch, epochs = BATCH.search(path.name), int(EPOCHS.search(path.name)[1])
    accumulation = int(batch['accumulation'] or 1)
    assert int(batch['batch']) == config.train_dataloader.batch_size
    assert accumulation == config.optim_wrapper.get('accumulative_counts', 1)
    assert int(batch['gpus']) * int(batch['batch']) * accumulation == config.auto_scale_lr.base_batch_size
    assert epochs == config.train_cfg.max_epochs
    assert ('-amp-' in path.name) == (config.optim_wrapper.type == 'AmpOptimWrapper')


@each(OURS)
def test_the_model_and_its_optimizer_can_be_built(path):
    config = read(path)
    model = build_model(config)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == PARAMETERS.get(f'{path.parent.name}/{path.stem}', count) == parameters(path)
    groups = build_optimizer(model, config).optimizer.param_groups
    trained = sum(parameter.requires_grad for parameter in model.parameters())
    assert sum(weight.requires_grad for group in groups for weight in group['params']) == trained
    assert {group['weight_decay'] for group in groups} == ({0.0} if '-linear_' in path.name else {0.0, 0.05})
    if path in FINETUNING:
        check_decay(config, model)


def check_decay(config, model):
    """Compare the weight decay of each parameter with MAE's rule: none for vectors, position tables and CLS tokens."""
    groups = build_optimizer(model, config).optimizer.param_groups
    found = {id(weight): group['weight_decay'] for group in groups for weight in group['params']}
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    spared = {n for n, w in trained.items() if w.ndim <= 1 or n in ('backbone.pos_embed', 'backbone.cls_token')}
    decay = config.optim_wrapper.optimizer.weight_decay
    assert {name: found[id(weight)] for name, weight in trained.items()} == {
        name: 0.0 if name in spared else decay for name in trained
    }
    assert ('backbone.pos_embed' in spared) == config.model.backbone.get('train_positions', False)


def rates(config, epoch_length, base_rates):
    """Record the learning rates of every iteration, built as mmengine's runner does: (iterations + 1, groups)."""
    groups = [dict(params=[nn.Parameter(torch.zeros(()))], lr=rate) for rate in base_rates]
    optimizer = torch.optim.AdamW(groups)
    end = config.train_cfg.max_epochs
    schedulers = [
        PARAM_SCHEDULERS.build(
            {'end': end, **scheduler}, default_args=dict(optimizer=optimizer, epoch_length=epoch_length)
        )
        for scheduler in config.param_scheduler
    ]
    recorded = [[group['lr'] for group in optimizer.param_groups]]
    for _ in range(end * epoch_length):
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
        recorded.append([group['lr'] for group in optimizer.param_groups])
    return np.array(recorded)


def official_rates(epochs, warmup, base, floor, epoch_length):
    """The official rule, at every iteration's share of epochs."""
    epoch = np.arange(epochs * epoch_length + 1) / epoch_length
    cosine = floor + (base - floor) * 0.5 * (1 + np.cos(math.pi * (epoch - warmup) / (epochs - warmup)))
    return np.where(epoch < warmup, base * epoch / warmup, cosine)


MIXMIM, VIT = 'mixmim-swin-base-w14', 'vit-base-p16'


@pytest.mark.parametrize(
    ('path', 'epochs', 'warmup', 'base', 'scales'),
    [
        (f'mixmae/mixmae_{MIXMIM}_16xb128-amp-coslr-600e_in1k.py', 600, 40, 1.2e-3, [1]),
        (f'mixedae/mixedae_{VIT}_32xb128-amp-coslr-300e_in1k.py', 300, 40, 2.4e-3, [1]),
        (f'mixedae/mixedae_{VIT}_1xb128-accu4-amp-coslr-300e_custom.py', 300, 40, 3e-4, [1]),
        (f'mae/mae_{VIT}_32xb128-amp-coslr-1600e_in1k.py', 1600, 40, 2.4e-3, [1]),
        (f'classification/{VIT}-linear_8xb2048-amp-coslr-90e_in1k.py', 90, 10, 6.4, [1]),
        (f'classification/{MIXMIM}_8xb128-amp-coslr-100e_in1k.py', 100, 5, 2e-3, [0.7**25, 0.7**10, 0.7]),
        (f'classification/{VIT}_8xb128-amp-coslr-100e_in1k.py', 100, 5, 2e-3, [0.65**13, 0.65**6, 1]),
        ('classification/vit-large-p16_8xb128-amp-coslr-50e_in1k.py', 50, 5, 4e-3, [0.75**25, 0.75**12, 1]),
        (f'classification/{VIT}_1xb128-amp-coslr-100e_cifar100.py', 100, 5, 2.5e-4, [0.65**13, 1]),
    ],
)
def test_rates_are_the_official_ones_at_every_depth(path, epochs, warmup, base, scales):
    config, steps = read(path), 10
    assert config.optim_wrapper.optimizer.lr == pytest.approx(base)
    floor = 1e-6 if warmup == 5 else 0
    for rate, scale in zip(rates(config, steps, base * np.array(scales)).T, scales, strict=True):
        assert rate[0] == pytest.approx(0, abs=base * scale * 1e-5)
        assert rate[warmup * steps] == pytest.approx(base * scale)
        assert rate[-1] == pytest.approx(floor * scale, rel=0.1, abs=base * 2e-5 * (floor == 0))
        official = official_rates(epochs, warmup, base * scale, floor * scale, steps)
        np.testing.assert_allclose(rate, official, rtol=0, atol=base * scale / (warmup * steps) * 1.01)


@each([path for path in PRETRAINING if path not in MICRO])
def test_pretraining_has_the_official_optimizer(path):
    wrapper = read(path).optim_wrapper
    assert (wrapper.optimizer.type, wrapper.optimizer.betas) == ('AdamW', (0.9, 0.95))
    assert (wrapper.dtype, wrapper.paramwise_cfg) == ('bfloat16', {'layer_decay_rate': 1.0})
    images = read(path).auto_scale_lr.base_batch_size
    assert wrapper.optimizer.lr == pytest.approx(1.5e-4 * images / 256)


@pytest.mark.parametrize(
    ('name', 'depth', 'decay', 'drop_path'),
    [('base-p16_8xb128-amp-coslr-100e', 12, 0.65, 0.1), ('large-p16_8xb128-amp-coslr-50e', 24, 0.75, 0.2)],
)
def test_finetuning_of_a_vit_has_the_official_groups(name, depth, decay, drop_path):
    """MAE's: patches, position embeddings and the CLS token below all blocks, the head and the last norm above them."""
    config = read(f'classification/vit-{name}_in1k.py')
    model = build_model(config)
    assert model.backbone.blocks[-1].drop_path.rate == pytest.approx(drop_path)
    groups = build_optimizer(model, config).optimizer.param_groups
    assert len(groups) == 2 * (depth + 2)
    scales = {id(weight): group['lr_scale'] for group in groups for weight in group['params']}
    layers = {f'blocks.{number}.': number + 1 for number in range(depth)}
    layers |= {name: 0 for name in ('cls_token', 'pos_embed', 'patch_embed')}
    for name, weight in model.named_parameters():
        layer = next((layer for part, layer in layers.items() if f'backbone.{part}' in name), depth + 1)
        assert scales[id(weight)] == pytest.approx(decay ** (depth + 1 - layer)), name


@pytest.mark.parametrize('encoder', [MIXMIM, VIT])
def test_finetuning_mixes_and_smooths_labels_as_timm_does(encoder):
    model = read(f'classification/{encoder}_8xb128-amp-coslr-100e_in1k.py').model
    mixes = [(step['type'], step['alpha']) for step in model.train_cfg.augments]
    assert mixes == [('Mixup', 0.8), ('CutMix', 1.0)]
    assert 'probs' not in model.train_cfg  # always one of them, with equal chances
    assert (model.head.loss.type, model.head.loss.label_smooth_val) == ('mmpretrain.LabelSmoothLoss', 0.1)


@pytest.fixture(scope='module')
def image(tmp_path_factory):
    """Write one image of a size."""

    def write(height, width):
        path = tmp_path_factory.mktemp('image') / 'noise.jpg'
        pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        return dict(img_path=str(path), gt_label=1, sample_idx=SeededIndex(0, seed=1))

    return write


@each([path for path in OURS if '_cifar' not in path.name])  # those have arrays, not files
def test_pipelines_end_at_the_size_of_the_model(path, image):
    config = read(path)
    size = config.model.backbone.img_size
    assert Compose(config.train_dataloader.dataset.pipeline)(image(150, 200))['inputs'].shape == (3, size, size)
    if 'val_dataloader' in config:
        shown = (size, size) if path in MICRO else (450, 600)
        assert Compose(config.val_dataloader.dataset.pipeline)(image(*shown))['inputs'].shape == (3, size, size)


@each(PRETRAINING)
def test_decoder_and_loss_are_cut_like_the_mixture(path):
    config = read(path)
    model, sources = config.model, config.model.data_preprocessor.num_sources
    assert model.data_preprocessor.cell_size == model.neck.cell_size == model.head.cell_size
    assert model.neck.grid_size * model.neck.cell_size == model.backbone.img_size
    assert config.train_dataloader.batch_size % sources == 0
    if path.parent.name != 'mixmae':
        assert model.backbone.patch_size == model.neck.cell_size
        assert model.backbone.num_sources == sources


def encoder_weights(path):
    from mmpretrain.registry import MODELS

    with on_meta():
        backbone = MODELS.build(read(path).model.backbone)
    return {name: weight.shape for name, weight in backbone.named_parameters()}


@each([path for path in FILES if path not in PRETRAINING and 'scratch' not in path.name])
def test_transfer_starts_where_pretraining_ends(path):
    backbone = read(path).model.backbone
    run, checkpoint = Path(backbone.init_cfg.checkpoint).parts[-2:]
    (pretraining,) = [path for path in PRETRAINING if path.stem == run]
    assert checkpoint == f'epoch_{read(pretraining).train_cfg.max_epochs}.pth'
    assert backbone.arch == read(pretraining).model.backbone.arch
    written, wanted = encoder_weights(pretraining), encoder_weights(path)
    fresh = [name for name in wanted.keys() - written.keys() if not NEW_IN_TRANSFER.fullmatch(name)]
    resized = [name for name in wanted.keys() & written.keys() if wanted[name] != written[name]]
    if path in FINETUNING and '384px' not in path.name:
        assert fresh + resized == []
    elif path not in FINETUNING:
        loaded = sum(wanted[name].numel() for name in wanted.keys() & written.keys())
        assert loaded >= 0.95 * sum(shape.numel() for shape in wanted.values())


@each([path for path in FINETUNING if 'scratch' in path.name])
def test_training_from_scratch_has_the_same_budget(path):
    scratch, finetuning = (read(path.with_name(path.name.replace(part, ''))) for part in ('', '-scratch'))
    assert scratch.model.backbone.init_cfg is None
    for key in ('train_dataloader', 'val_dataloader', 'train_cfg', 'param_scheduler', 'auto_scale_lr'):
        assert scratch[key] == finetuning[key]
    assert scratch.optim_wrapper.optimizer == finetuning.optim_wrapper.optimizer


@each(MICRO)
def test_steps_lower_the_loss_of_their_batch(path):
    config = read(path)
    config.model.backbone.init_cfg = None  # the checkpoint is not there yet
    model = build_model(config, device='cpu').train()
    model.init_weights()
    optimizer = build_optimizer(model, config)
    batch = random_batch(4, config.model.backbone.img_size)
    losses = []
    for _ in range(4):
        torch.manual_seed(0)  # the same cells masked, the same blocks dropped
        losses.append(model.train_step(dict(batch), optimizer)['loss'].item())
    first = {'MixMAE': 1.28, 'MixedAE': 1.68, 'MAE': 1.68, 'ImageClassifier': math.log(10)}[type(model).__name__]
    if config.model.get('contrast'):  # features of chance: nearly as dear as equal ones
        first += 0.1 * math.log(config.model.neck.grid_size**2 - 1)
    assert losses[0] == pytest.approx(first, rel=0.1)
    assert losses[3] < losses[0] - 0.02


def test_a_stock_backbone_learns_with_all_its_parameters():
    config = read('mixmae/mixmae_swin-tiny-w7_16xb128-amp-coslr-300e_in1k.py')
    model = build_model(config).train()
    images = model.data_preprocessor(random_batch(2, 224), training=True)['inputs']
    loss = model(images, mode='loss')['loss_reconstruction']
    loss.backward()
    assert loss.item() == pytest.approx(1.28, rel=0.1)
    idle = [name for name, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert not idle


def random_batch(batch_size, size):
    from mmpretrain.structures import DataSample

    images = torch.randint(0, 256, (batch_size, 3, size, size), dtype=torch.uint8)
    return dict(inputs=images, data_samples=[DataSample().set_gt_label(label) for label in range(batch_size)])


def differences(before, after, path=''):
    """List what a config changes: {path: new value}."""
    found = {}
    for key in sorted(before.keys() | after.keys()):
        old, new, here = before.get(key), after.get(key), f'{path}{key}'
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found |= differences(old, new, f'{here}.')
        elif old != new or (key in before) != (key in after):
            found[here] = new
    return found


def changes(path, base):
    """List what a config changes of another, apart from the note of what makes MAE of a MixedAE."""
    before, after = (read(name).to_dict() for name in (base, path))
    return {key: value for key, value in differences(before, after).items() if not key.startswith('as_mae')}


ABLATED = 'mixedae/mixedae_vit-base-p16_32xb128-amp-coslr-300e_in1k.py'
NAIVE = {'model.backbone.segment_embedding': False, 'model.backbone.attention': 'global', 'model.contrast': None}
ABLATIONS = {
    'naive': NAIVE,
    '2src': {'num_sources': 2, 'model.data_preprocessor.num_sources': 2, 'model.backbone.num_sources': 2},
    'noattn': {'model.backbone.attention': 'global'},
    'nocontrast': {'model.contrast': None},
}
# those given as options: what they change, and the parameters of the model
WITH_OPTIONS = {
    '8src': ({'data_preprocessor.num_sources': 8, 'backbone.num_sources': 8}, 111_907_840 + 2 * 3_072),
    'uneven': ({'data_preprocessor.shares': [0.4, 0.3, 0.2, 0.1]}, 111_907_840 + 3_072),
    'turns': ({'data_preprocessor.take_turns': True}, 111_907_840 + 3_072),
    'noseg': ({'backbone.segment_embedding': False}, 111_907_840),
    'oracle': ({'backbone.attention': 'true'}, 111_907_840 + 3_072),
    'alllayers': ({'backbone.homologous_layers': [*range(12)]}, 111_907_840 + 3_072),
    'allcells': ({'head.masked_only': False}, 111_907_840 + 3_072),
}
MAE = {
    'model.type': 'mixmae_mm.MAE',
    'model.data_preprocessor.num_sources': 1,
    'model.data_preprocessor.mask_ratio': 0.75,
    'model.backbone.num_sources': 1,
    'model.backbone.attention': 'global',
    'model.contrast': None,
}


def related():
    """List configs that differ in what their names say alone: (variant, base, changes)."""
    for name, changed in ABLATIONS.items():
        yield ABLATED.replace('-p16_', f'-p16-{name}_'), ABLATED, changed
    for data in ('imagenette-96px', 'shapes-64px'):
        micro = f'mixedae/mixedae_vit-micro-p8_1xb64-coslr-40e_{data}.py'
        yield micro.replace('mixedae', 'mae'), micro, MAE
        yield micro.replace('-p8_', '-p8-naive_'), micro, NAIVE
    for path in PRETRAINING:
        if path.parent.name == 'mae' and path not in MICRO:
            yield f'mae/{path.name}', f'mixedae/{path.name.replace("mae_", "mixedae_")}', MAE
    for size, epochs in itertools.product(('small', 'base', 'large'), (300, 800, 1600)):
        arch = {'model.backbone.arch': size, 'model.neck.in_channels': ARCHS[size]['embed_dims']}
        length = {'train_cfg.max_epochs': epochs} if epochs != 300 else {}
        path = ABLATED.replace('base', size).replace('300e', f'{epochs}e')
        yield path, ABLATED, (arch if size != 'base' else {}) | length
    small = ABLATED.replace('base', 'small')
    yield small.replace('32xb128', '1xb128-accu32'), small, {'optim_wrapper.accumulative_counts': 32}


@pytest.mark.parametrize(('path', 'base', 'expected'), [*related()])
def test_a_variant_changes_what_its_name_says_and_nothing_else(path, base, expected):
    assert changes(path, base) == expected


def test_every_ablation_is_tried():
    files = [re.search(r'base-p16-(\w+)_', path.name) for path in PRETRAINING if path.parent.name == 'mixedae']
    assert {found[1] for found in files if found} == ABLATIONS.keys()
    assert offered_ablations().keys() == WITH_OPTIONS.keys()


def with_options(path, *options):
    """Read a config as the tools do."""
    return read_config(argument_parser('').parse_args([str(ROOT / path), '--cfg-options', *options]))


def offered_ablations():
    """Read the table of configs/mixedae/README.md: {name: options}."""
    rows = re.findall(r'^\| (\w+) \|.*\| `(model\..+)` \|$', (ROOT / 'mixedae/README.md').read_text(), re.MULTILINE)
    return {name: options.split() for name, options in rows}


@pytest.mark.parametrize(('name', 'options'), offered_ablations().items())
def test_an_offered_ablation_changes_what_it_says_and_can_be_built(name, options):
    config, (expected, count) = with_options(ABLATED, *options), WITH_OPTIONS[name]
    assert differences(read(ABLATED).model, config.model) == expected
    assert sum(parameter.numel() for parameter in build_model(config).parameters()) == count


def tiny(config):
    """Make a classifier of a few numbers, with nothing to load."""
    config.model.backbone.update(arch=dict(embed_dims=16, depth=2, num_heads=2), img_size=32, patch_size=8)
    config.model.backbone.init_cfg = None
    config.model.head.in_channels = 16
    for neck in config.model.neck if isinstance(config.model.neck, list) else []:
        if 'input_features' in neck:
            neck.input_features = 16
    model = build_model(config, device='cpu')
    model.init_weights()
    return model


@pytest.mark.parametrize(
    ('path', 'std'),
    [
        ('vit-base-p16_8xb128-amp-coslr-100e_in1k.py', 2e-5),
        ('vit-base-p16-linear_8xb2048-amp-coslr-90e_in1k.py', 1e-2),
    ],
)
def test_heads_begin_as_officially(path, std):
    fc = tiny(read(f'classification/{path}')).head.fc
    assert fc.weight.std().item() == pytest.approx(std, rel=0.1)
    assert not fc.bias.any()


LINEAR = 'classification/vit-base-p16-linear_8xb2048-amp-coslr-90e_in1k.py'


def test_linear_probing_reads_the_normalized_cls_token():
    model = tiny(read(LINEAR)).train()
    images = torch.randn(8, 3, 32, 32)
    cls = model.backbone.run_blocks(model.backbone.embed(images)[0])[1][:, 0]
    expected = (cls - cls.mean(dim=0)) / (cls.var(dim=0, unbiased=False) + 1e-6).sqrt()
    torch.testing.assert_close(model.extract_feat(images)[0], expected)


def test_linear_probing_trains_the_head_alone_and_scales_the_steps_of_its_weight():
    config = read(LINEAR)
    model = tiny(config).train()
    assert model.data_preprocessor.batch_augments is None
    optimizer = build_optimizer(model, config)
    model.head.fc.bias.data.fill_(1.0)  # of some length, which LARS would scale by; the same for all classes
    before = copy.deepcopy(dict(model.named_parameters()))
    loss = model.train_step(random_batch(4, 32), optimizer)['loss']
    assert loss.item() == pytest.approx(math.log(1000), rel=0.02)
    moved = {name: weight - before[name] for name, weight in model.named_parameters() if not weight.equal(before[name])}
    assert moved.keys() == {'head.fc.weight', 'head.fc.bias'}
    # LARS: a thousandth of the weight's own length; plain SGD for the bias, each of 4 labels seen once
    length = before['head.fc.weight'].norm().item()
    assert moved['head.fc.weight'].norm().item() == pytest.approx(6.4 * 1e-3 * length, rel=1e-3)
    assert moved['head.fc.bias'][:4].tolist() == pytest.approx([6.4 * (1 / 4 - 1 / 1000)] * 4, rel=1e-2)


def of_set(name):
    """Read the config of one of the smaller sets."""
    return read(f'classification/vit-base-p16_1xb128-amp-coslr-100e_{name}.py')


@pytest.mark.parametrize('name', SETS)
def test_each_of_the_smaller_sets_can_be_built(name, tmp_path):
    from mmpretrain.registry import DATASETS, METRICS

    config = of_set(name)
    kind, classes, splits, metric = SETS[name]
    (tmp_path / 'cars_annos.mat').touch()  # mmpretrain looks for it at once
    loaders = config.train_dataloader, config.test_dataloader
    sets = [DATASETS.build(dict(loader.dataset, data_root=str(tmp_path), lazy_init=True)) for loader in loaders]
    assert [type(one).__name__ for one in sets] == [kind, kind]
    assert tuple(one.split for one in sets) == splits
    assert all(len(one.CLASSES or range(102)) == classes for one in sets)  # Flowers102 has no names
    assert not any(getattr(one, 'download', False) for one in sets)
    assert config.val_dataloader == config.test_dataloader
    assert [METRICS.build(one) for one in config.test_evaluator]
    assert [one.type for one in config.test_evaluator] == [one.type for one in config.val_evaluator] == [metric]
    assert build_model(config).head.fc.out_features == config.model.data_preprocessor.num_classes == classes


@pytest.mark.parametrize('name', ['cifar10', 'pets'])  # arrays, files
def test_images_of_each_of_the_smaller_sets_keep_their_colors(name, tmp_path):
    from mmpretrain.registry import MODELS

    config = of_set(name)
    pixels = np.full((32, 32, 3), (200, 100, 50), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'brown.png')
    source = dict(img=pixels) if name.startswith('cifar') else dict(img_path=str(tmp_path / 'brown.png'))
    source = dict(source, gt_label=0, sample_idx=SeededIndex(0, seed=1))
    inputs = Compose(config.test_dataloader.dataset.pipeline)(dict(source))['inputs']
    assert inputs.shape == (3, 224, 224)
    red_green_blue = MODELS.build(config.model.data_preprocessor)(dict(inputs=inputs[None]))['inputs'][0, :, 100, 100]
    imagenet = [(200 - 123.675) / 58.395, (100 - 116.28) / 57.12, (50 - 103.53) / 57.375]
    assert red_green_blue.tolist() == pytest.approx(imagenet, abs=1e-4)
    assert Compose(config.train_dataloader.dataset.pipeline)(source)['inputs'].shape == (3, 224, 224)


def test_an_open_choice_stands_in_the_model_file_with_its_standing():
    """As the table of docs/mixedae.md has it: setting and default."""
    choices = {}
    for line in (ROOT.parent / 'docs/mixedae.md').read_text().splitlines():
        settings, default = (line.split('|') + [''] * 5)[3:5]
        settings = re.findall(r'`((?:data_preprocessor|backbone|neck|head|contrast)\.\w+|projection_dims)`', settings)
        values = re.findall(r'`([^`]+)`', default) or re.findall(r'[\d.]+', default)
        choices |= {setting: ast.literal_eval(value) for setting, value in zip(settings, values, strict=False)}
    assert len(choices) == 15
    for setting, default in choices.items():
        path = ROOT / '_base_/models' / ('vit-base_classifier.py' if 'fold' in setting else 'mixedae_vit-base.py')
        part, _, key = setting.rpartition('.')
        model = from_file(path).model
        assert (model[part] if part else model)[key] == default
        assert re.search(rf'^ +{key}=.*,  # .*(choice|recollection)', path.read_text(), re.MULTILINE)
