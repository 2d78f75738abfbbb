"""Every shipped config: names, numbers, schedules, pipelines, and that what it describes can be built."""

import ast
import math
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS, init_default_scope
from PIL import Image
from torch import nn

from mixmae_mm import registry
from mixmae_mm.datasets import SeededIndex

ROOT = Path(__file__).parents[1] / 'configs'
FILES = sorted(path for path in ROOT.rglob('*.py') if '_base_' not in path.parts)
OURS = [path for path in FILES if path.parent.name in ('mixmae', 'classification')]
PRETRAINING = [path for path in OURS if path.parent.name == 'mixmae']
FINETUNING = [path for path in OURS if path.parent.name == 'classification']
MICRO = [path for path in OURS if 'micro' in path.name]
BATCH = re.compile(r'_(?P<gpus>\d+)xb(?P<batch>\d+)(-accu(?P<accumulation>\d+))?-')
EPOCHS = re.compile(r'-(\d+)e_')

# specs/mixmae.md, section 2: measured with the official code
PARAMETERS = {
    'mixmae/mixmae_mixmim-swin-base-w14_16xb128-amp-coslr-600e_in1k': 114_665_784,
    'mixmae/mixmae_mixmim-swin-large-w14_16xb128-amp-coslr-600e_in1k': 223_468_244,
    'mixmae/mixmae_mixmim-swin-huge-w14_16xb128-amp-coslr-600e_in1k': 684_709_594,
    'classification/mixmim-swin-base-w14_8xb128-amp-coslr-100e_in1k': 88_344_352,
    'classification/mixmim-swin-base-w16_8xb128-amp-coslr-100e_in1k-384px': 89_577_440,
    'classification/mixmim-swin-large-w14_8xb128-amp-coslr-100e_in1k': 197_396_668,
    'classification/mixmim-swin-large-w16_8xb128-amp-coslr-100e_in1k-384px': 199_246_300,
    'classification/mixmim-swin-huge-w14_8xb128-amp-coslr-50e_in1k': 659_262_658,
}


def each(paths):
    return pytest.mark.parametrize('path', paths, ids=lambda path: path.stem)


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


def build_model(config, device='meta'):
    from mmpretrain.registry import MODELS

    stock = not config.model.backbone.type.startswith('mixmae_mm.')
    with torch.device('cpu' if stock else device):  # mmpretrain's backbones look at numbers while they are built
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


def test_basenames_are_unique():
    names = [path.name for path in FILES]
    assert len(set(names)) == len(names)


@each(FILES)
def test_a_config_opens_with_its_note(path):
    note = ast.get_docstring(ast.parse(path.read_text()))
    assert re.search(r'measured here|reported by|untuned', note, re.IGNORECASE), 'say where the settings come from'
    commands = re.findall(r'configs/\S+\.py', note)
    assert f'configs/{path.relative_to(ROOT).as_posix()}' in commands
    assert all((ROOT.parent / command).is_file() for command in commands)


@each(FILES)
def test_a_config_stands_on_this_repository_only(path):
    bases = [node.value for node in ast.parse(path.read_text()).body if getattr(node, 'targets', [None])[0] is not None]
    strings = [node.value for base in bases for node in ast.walk(base) if isinstance(node, ast.Constant)]
    assert not [text for text in strings if isinstance(text, str) and '::' in text]


@each(OURS)
def test_our_types_carry_their_scope(path):
    registries = [value for value in vars(registry).values() if isinstance(value, registry.roots.Registry)]
    ours = {name for own in registries for name in registered(own)}
    types = {node['type'] for node in settings_with('type', Config.fromfile(path).to_dict())}
    assert not types & ours
    assert any(name.startswith('mixmae_mm.') for name in types)


def registered(own):
    own.import_from_location()
    return own.module_dict


@each(OURS)
def test_batch_and_epochs_are_those_of_the_name(path):
    config = Config.fromfile(path)
    batch, epochs = BATCH.search(path.name), int(EPOCHS.search(path.name)[1])
    accumulation = int(batch['accumulation'] or 1)
    assert int(batch['batch']) == config.train_dataloader.batch_size
    assert accumulation == config.optim_wrapper.get('accumulative_counts', 1)
    assert int(batch['gpus']) * int(batch['batch']) * accumulation == config.auto_scale_lr.base_batch_size
    assert epochs == config.train_cfg.max_epochs
    assert ('-amp-' in path.name) == (config.optim_wrapper.type == 'AmpOptimWrapper')


@each(OURS)
def test_the_model_and_its_optimizer_can_be_built(path):
    config = Config.fromfile(path)
    model = build_model(config)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == PARAMETERS.get(f'{path.parent.name}/{path.stem}', count)
    groups = build_optimizer(model, config).optimizer.param_groups
    trained = sum(parameter.requires_grad for parameter in model.parameters())
    assert sum(len(group['params']) for group in groups) == trained
    assert {group['weight_decay'] for group in groups} == {0.0, 0.05}


def test_the_parameter_counts_are_of_configs_that_exist():
    assert all((ROOT / f'{name}.py').is_file() for name in PARAMETERS)


def test_official_finetuning_has_fifty_groups_and_none_at_the_full_rate():
    config = Config.fromfile(ROOT / 'classification/mixmim-swin-base-w14_8xb128-amp-coslr-100e_in1k.py')
    groups = build_optimizer(build_model(config), config).optimizer.param_groups
    assert len(groups) == 50
    assert max(group['lr'] for group in groups) == pytest.approx(2e-3 * 0.7)
    assert min(group['lr'] for group in groups) == pytest.approx(2e-3 * 0.7**25)


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


@pytest.mark.parametrize('epochs', [300, 600])
def test_pretraining_follows_the_official_rates(epochs):
    config = Config.fromfile(ROOT / f'mixmae/mixmae_mixmim-swin-base-w14_16xb128-amp-coslr-{epochs}e_in1k.py')
    base = config.optim_wrapper.optimizer.lr
    ours = rates(config, 5, [base])[:, 0]
    assert base == pytest.approx(1.2e-3)
    assert ours[0] == pytest.approx(0, abs=1e-12)
    assert ours[40 * 5] == pytest.approx(1.2e-3)
    assert ours[-1] == pytest.approx(0, abs=1e-8)  # what one iteration before the end asks for
    one_iteration = 1.2e-3 / (40 * 5)
    np.testing.assert_allclose(ours, official_rates(epochs, 40, 1.2e-3, 0, 5), rtol=0, atol=one_iteration * 1.01)


def test_finetuning_follows_the_official_rates_at_every_depth():
    config = Config.fromfile(ROOT / 'classification/mixmim-swin-base-w14_8xb128-amp-coslr-100e_in1k.py')
    scales = np.array([0.7**25, 0.7**10, 0.7])
    assert config.optim_wrapper.optimizer.lr == pytest.approx(2e-3)
    ours = rates(config, 20, 2e-3 * scales)
    np.testing.assert_allclose(ours[5 * 20], 2e-3 * scales, rtol=1e-6)
    np.testing.assert_allclose(ours[-1], 1e-6 * scales, rtol=2e-3)
    for rate, scale in zip(ours.T, scales, strict=True):
        official = official_rates(100, 5, 2e-3 * scale, 1e-6 * scale, 20)
        np.testing.assert_allclose(rate, official, rtol=0, atol=2e-3 * scale / (5 * 20) * 1.01)


def test_finetuning_mixes_and_smooths_labels_as_timm_does():
    from mmpretrain.models.utils.batch_augments import RandomBatchAugment
    from mmpretrain.registry import MODELS

    config = Config.fromfile(ROOT / 'classification/mixmim-swin-base-w14_8xb128-amp-coslr-100e_in1k.py')
    mixer = RandomBatchAugment(**config.model.train_cfg)
    assert [(type(step).__name__, step.alpha) for step in mixer.augments] == [('Mixup', 0.8), ('CutMix', 1.0)]
    assert mixer.probs is None  # always one of them, with equal chances
    logits, share = torch.randn(1, 10), 0.3
    smooth = torch.full((2, 10), 0.1 / 10)
    smooth[0, 4] += 0.9
    smooth[1, 7] += 0.9
    official = -((share * smooth[0] + (1 - share) * smooth[1]) * logits.log_softmax(1)).sum()
    score = torch.zeros(1, 10)
    score[0, [4, 7]] = torch.tensor([share, 1 - share])
    loss = MODELS.build(dict(config.model.head.loss, num_classes=10))
    torch.testing.assert_close(loss(logits, score), official)


@pytest.fixture(scope='module')
def picture(tmp_path_factory):
    """Write one picture of a size."""

    def write(height, width):
        path = tmp_path_factory.mktemp('picture') / 'noise.jpg'
        pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        return dict(img_path=str(path), gt_label=1, sample_idx=SeededIndex(0, seed=1))

    return write


@each(OURS)
def test_pipelines_end_at_the_size_of_the_model(path, picture):
    config = Config.fromfile(path)
    size = config.model.backbone.img_size
    assert Compose(config.train_dataloader.dataset.pipeline)(picture(150, 200))['inputs'].shape == (3, size, size)
    if 'val_dataloader' in config:
        shown = (size, size) if path in MICRO else (450, 600)
        assert Compose(config.val_dataloader.dataset.pipeline)(picture(*shown))['inputs'].shape == (3, size, size)


@each(PRETRAINING)
def test_decoder_and_loss_are_cut_like_the_mixture(path):
    model = Config.fromfile(path).model
    assert model.data_preprocessor.cell_size == model.neck.cell_size == model.head.cell_size
    assert model.neck.grid_size * model.neck.cell_size == model.backbone.img_size


@each([path for path in FINETUNING if 'scratch' not in path.name])
def test_finetuning_starts_where_pretraining_ends(path):
    backbone = Config.fromfile(path).model.backbone
    run, checkpoint = Path(backbone.init_cfg.checkpoint).parts[-2:]
    pretraining = Config.fromfile(ROOT / f'mixmae/{run}.py')
    assert checkpoint == f'epoch_{pretraining.train_cfg.max_epochs}.pth'
    assert backbone.arch == pretraining.model.backbone.arch


@each([path for path in FINETUNING if 'scratch' in path.name])
def test_training_from_scratch_has_the_same_budget(path):
    scratch, finetuning = (Config.fromfile(path.with_name(path.name.replace(part, ''))) for part in ('', '-scratch'))
    assert scratch.model.backbone.init_cfg is None
    for key in ('train_dataloader', 'val_dataloader', 'train_cfg', 'param_scheduler', 'auto_scale_lr'):
        assert scratch[key] == finetuning[key]
    assert scratch.optim_wrapper.optimizer == finetuning.optim_wrapper.optimizer


@each(MICRO)
def test_steps_lower_the_loss_of_their_batch(path):
    config = Config.fromfile(path)
    config.model.backbone.init_cfg = None  # the checkpoint is not there yet
    model = build_model(config, device='cpu').train()
    model.init_weights()
    optimizer = build_optimizer(model, config)
    batch = random_batch(4, config.model.backbone.img_size)
    losses = []
    for _ in range(4):
        torch.manual_seed(0)  # the same cells hidden, the same blocks dropped
        losses.append(model.train_step(dict(batch), optimizer)['loss'].item())
    first = {'MixMAE': 1.28, 'ImageClassifier': math.log(10)}[type(model).__name__]
    assert losses[0] == pytest.approx(first, rel=0.1)
    assert losses[3] < losses[0] - 0.02


def test_a_stock_backbone_learns_with_all_its_parameters():
    config = Config.fromfile(ROOT / 'mixmae/mixmae_swin-tiny-w7_16xb128-amp-coslr-300e_in1k.py')
    model = build_model(config).train()
    images = model.data_preprocessor(random_batch(2, 224), training=True)['inputs']
    loss = model(images, mode='loss')['loss_reconstruction']
    loss.backward()
    assert loss.item() == pytest.approx(1.28, rel=0.1)
    idle = [name for name, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert not idle


def random_batch(batch_size, size):
    from mmpretrain.structures import DataSample

    pictures = torch.randint(0, 256, (batch_size, 3, size, size), dtype=torch.uint8)
    return dict(inputs=pictures, data_samples=[DataSample().set_gt_label(label) for label in range(batch_size)])
