"""Every shipped config: its model builds, loads, has the official initialization and learns; its pipelines fit it."""

import copy
import functools
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from metafiles import parameters
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from PIL import Image
from shipped_configs import (
    FILES,
    FINETUNING,
    MICRO,
    OURS,
    PRETRAINING,
    build_model,
    build_optimizer,
    check_decay,
    each,
    has_stock_encoder,
    need_library,
    read,
    without_weights,
)

from mixmae_mm.checkpoint.loading import NEW_IN_TRANSFER
from mixmae_mm.datasets import SeededIndex

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
CLASSES = {'in1k': 1000, 'inat18': 8142, 'inat19': 1010, 'places205': 205, 'places365': 365}
CLASSES |= {'imagenette': 10, 'materials': 14, 'custom': 2}
CLASSES |= {name: classes for name, (_, classes, _, _) in SETS.items()}
# MixMIM: measured with the official code; MAE: mmpretrain's; MixedAE: a vector a source more; ViT, Swin, Twins: timm's;
# PVT: mmdet's class and a linear layer, 61.4 M in its paper
OFFICIAL = {
    'mixmae_mixmim-swin-base-w14': 114_665_784, 'mixmae_mixmim-swin-large-w14': 223_468_244,
    'mixmae_mixmim-swin-huge-w14': 684_709_594, 'mixmim-swin-base-w14': 88_344_352,
    'mixmim-swin-large-w14': 197_396_668, 'mixmim-swin-huge-w14': 659_262_658,
    'mae_vit-base-p16': 111_907_840, 'mae_vit-large-p16': 329_541_888,
    'mixedae_vit-base-p16': 111_907_840 + 3_072, 'mixedae_vit-large-p16': 329_541_888 + 4_096,
    'vit-base-p16': 86_567_656, 'vit-large-p16': 304_326_632, 'vit-huge-p14': 632_045_800,
    'swin-tiny-w7': 28_288_354, 'swin-small-w7': 49_606_258, 'swin-base-w7': 87_768_224,
    'swin-large-w7': 196_532_476, 'twins-svt-large': 99_271_400, 'pvt-large': 61_367_272,
}  # fmt: skip


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


@each(FINETUNING)
def test_head_and_preprocessor_have_the_classes_of_the_data(path):
    model = read(path).model
    number = CLASSES[re.search(r'_([a-z]+\d*k?)[^_]*\.py$', path.name)[1]]
    assert {model.head.num_classes, model.data_preprocessor.get('num_classes', number)} == {number}


@each(OURS)
def test_the_model_and_its_optimizer_can_be_built(path):
    config = read(path)
    model = build_model(config)
    count = sum(parameter.numel() for parameter in model.parameters())
    name, _, data = path.stem.rpartition('_')
    official = OFFICIAL.get(name.rpartition('_')[0], count) if data == 'in1k' else count
    assert count == official == parameters(path)
    groups = build_optimizer(model, config).optimizer.param_groups
    trained = sum(parameter.requires_grad for parameter in model.parameters())
    assert sum(weight.requires_grad for group in groups for weight in group['params']) == trained
    assert {group['weight_decay'] for group in groups} == ({0.0} if '-linear_' in path.name else {0.0, 0.05})
    if path in FINETUNING:
        check_decay(config, model)


@pytest.mark.parametrize(
    ('name', 'depth', 'decay', 'drop_path'),
    [('base-p16_8xb128-amp-coslr-100e', 12, 0.65, 0.1), ('large-p16_8xb128-amp-coslr-50e', 24, 0.75, 0.2)],
)
def test_finetuning_of_a_vit_has_the_official_groups(name, depth, decay, drop_path):
    """As in MAE: patch and position embeddings and CLS token are below all blocks, the head and the last norm above."""
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


@pytest.fixture(scope='module')
def image(tmp_path_factory):
    """Return a function that writes one image of a size."""

    def write(height, width):
        path = tmp_path_factory.mktemp('image') / 'noise.jpg'
        pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        return dict(img_path=str(path), gt_label=1, sample_idx=SeededIndex(0, seed=1))

    return write


@each([path for path in OURS if '_cifar' not in path.name])  # those have arrays, not files
def test_pipelines_end_at_the_size_of_the_model(path, image):
    config = read(path)
    size = trained_size(config)
    assert Compose(config.train_dataloader.dataset.pipeline)(image(150, 200))['inputs'].shape == (3, size, size)
    if 'val_dataloader' in config:
        shown = (size, size) if path in MICRO else (450, 600)
        assert Compose(config.val_dataloader.dataset.pipeline)(image(*shown))['inputs'].shape == (3, size, size)


def trained_size(config):
    """Return the image side that an encoder is built for; classifiers of other libraries without one use 224 px."""
    neck = config.model.neck
    grid = neck.grid_size * neck.cell_size if 'grid_size' in neck else 224
    return config.model.backbone.get('img_size', grid)


@functools.cache
def encoder_weights(path):
    from mmpretrain.registry import MODELS

    config = read(path)
    need_library(config)
    with without_weights(config):
        backbone = MODELS.build(config.model.backbone)
    return {name: weight.shape for name, weight in backbone.named_parameters()}


@each([path for path in FILES if path not in PRETRAINING and not re.search('scratch|simmim', path.name)])
def test_transfer_starts_where_pretraining_ends(path):
    backbone = read(path).model.backbone
    run, checkpoint = Path(backbone.init_cfg.checkpoint).parts[-2:]
    (pretraining,) = [path for path in PRETRAINING if path.stem == run]
    last = f'epoch_{read(pretraining).train_cfg.max_epochs}.pth'
    assert checkpoint == ('encoder.pth' if 'pvt' in path.name else last)
    if not has_stock_encoder(read(path)):
        assert backbone.arch == read(pretraining).model.backbone.arch
    written, wanted = encoder_weights(pretraining), encoder_weights(path)
    fresh = [name for name in wanted.keys() - written.keys() if not NEW_IN_TRANSFER.fullmatch(name)]
    resized = [name for name in wanted.keys() & written.keys() if wanted[name] != written[name]]
    if path in FINETUNING and '384px' not in path.name:
        assert fresh + resized == []
    elif path not in FINETUNING:
        loaded = sum(wanted[name].numel() for name in wanted.keys() & written.keys())
        assert loaded >= 0.95 * sum(shape.numel() for shape in wanted.values())


def random_batch(batch_size, size):
    from mmpretrain.structures import DataSample

    images = torch.randint(0, 256, (batch_size, 3, size, size), dtype=torch.uint8)
    return dict(inputs=images, data_samples=[DataSample().set_gt_label(label) for label in range(batch_size)])


@each([path for path in MICRO if '_custom' not in path.name])  # those have the models of Imagenette's
def test_steps_lower_the_loss_of_their_batch(path):
    config = read(path)
    config.model.backbone.init_cfg = None  # the checkpoint is not there yet
    model = build_model(config, device='cpu').train()
    model.init_weights()
    optimizer = build_optimizer(model, config)
    batch = random_batch(4, trained_size(config))
    losses = []
    for _ in range(4):
        torch.manual_seed(0)  # the same cells masked, the same blocks dropped
        losses.append(model.train_step(dict(batch), optimizer)['loss'].item())
    classes = config.model.get('head', {}).get('num_classes', 1)
    first = {'MixMAE': 1.28, 'MixedAE': 1.68, 'MAE': 1.68, 'ImageClassifier': math.log(classes)}[type(model).__name__]
    if config.model.get('contrast'):  # features of chance: nearly as dear as equal ones
        first += 0.1 * math.log(config.model.neck.grid_size**2 - 1)
    assert losses[0] == pytest.approx(first, rel=0.1)
    assert losses[3] < losses[0] - 0.02


def test_a_stock_backbone_learns_with_all_its_parameters():
    config = read('mixmae/mixmae_swin-tiny-w7_16xb128-amp-coslr-300e_in1k.py')
    model = build_model(config, device='cpu').train()
    images = model.data_preprocessor(random_batch(2, 224), training=True)['inputs']
    loss = model(images, mode='loss')['loss_reconstruction']
    loss.backward()
    assert loss.item() == pytest.approx(1.28, rel=0.1)
    idle = [name for name, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert not idle


def test_simmim_has_the_encoder_the_images_and_the_schedule_that_mixmae_is_compared_with(image):
    ours = read('mixmae/mixmae_swin-micro_1xb64-coslr-40e_imagenette-96px.py')
    theirs = read('simmim/simmim_swin-micro_1xb64-coslr-40e_imagenette-96px.py')
    model, other = build_model(theirs, device='cpu').train(), build_model(ours)
    assert sum(weight.numel() for weight in model.parameters()) == parameters(Path(theirs.filename))
    shapes, wanted = ({n: x.shape for n, x in one.backbone.state_dict().items()} for one in (model, other))
    assert shapes == wanted | {'mask_token': (1, 1, 32)}
    windows = [module.window_size for module in model.modules() if type(module).__name__ == 'ShiftWindowMSA']
    assert windows == [module.window_size for module in other.modules() if type(module).__name__ == 'ShiftWindowMSA']
    for key in ('optim_wrapper', 'param_scheduler', 'train_cfg', 'auto_scale_lr'):
        assert theirs[key] == ours[key]
    loaders = [copy.deepcopy(config.train_dataloader) for config in (ours, theirs)]
    steps = [loader.dataset.pop('pipeline') for loader in loaders]
    assert loaders[0] == loaders[1]
    assert [step for step in steps[1] if 'Mask' not in step.type] == steps[0]
    packed = Compose(steps[1])(image(100, 120))
    mask = packed['data_samples'].mask
    assert mask.shape == (24, 24)
    assert mask.float().mean().item() == pytest.approx(22 / 36)  # 60 % of the cells, rounded up
    model.init_weights()
    optimizer = build_optimizer(model, theirs)
    batch = dict(inputs=torch.stack([packed['inputs']] * 2), data_samples=[packed['data_samples']] * 2)
    losses = [model.train_step(dict(batch), optimizer)['loss'].item() for _ in range(4)]
    assert losses[3] < losses[0] - 0.02


def tiny(config):
    """Make a classifier tiny and without a checkpoint, and build it."""
    config.model.backbone.update(arch=dict(embed_dims=16, depth=2, num_heads=2), img_size=32, patch_size=8)
    config.model.backbone.init_cfg = None
    config.model.head.in_channels = 16
    for neck in config.model.neck if isinstance(config.model.neck, list) else []:
        if 'input_features' in neck:
            neck.input_features = 16
    model = build_model(config, device='cpu')
    model.init_weights()
    return model


LINEAR = 'classification/vit-base-p16-linear_8xb2048-amp-coslr-90e_in1k.py'


@pytest.mark.parametrize(
    ('path', 'std'),
    [('vit-base-p16_8xb128-amp-coslr-100e_in1k.py', 2e-5), ('vit-base-p16-linear_8xb2048-amp-coslr-90e_in1k.py', 1e-2)],
)
def test_heads_begin_as_officially(path, std):
    fc = tiny(read(f'classification/{path}')).head.fc
    assert fc.weight.std().item() == pytest.approx(std, rel=0.1)
    assert not fc.bias.any()


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
