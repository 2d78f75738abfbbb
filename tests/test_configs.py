"""Every shipped config: names, numbers, schedules, and that a variant changes only what its name says."""

import ast
import itertools
import math
import re
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from mmengine.registry import PARAM_SCHEDULERS, init_default_scope
from shipped_configs import (
    BATCH,
    EPOCHS,
    FILES,
    FINETUNING,
    MICRO,
    OURS,
    PRETRAINING,
    ROOT,
    build_model,
    each,
    from_file,
    read,
    settings_with,
)
from torch import nn

from mixmae_mm import registry
from mixmae_mm.models.backbones.archs import VIT_ARCHS
from mixmae_mm.utils.launching import argument_parser, read_config

MIXMIM, VIT = 'mixmim-swin-base-w14', 'vit-base-p16'


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


@each(FILES)
def test_a_config_opens_with_its_note(path):
    note = ast.get_docstring(ast.parse(path.read_text()))
    assert re.search(r'measured here|reported by|untuned', note, re.IGNORECASE), 'say where the settings come from'
    commands = re.findall(r'configs/\S+\.py', note)
    assert f'configs/{path.relative_to(ROOT).as_posix()}' in commands
    assert all((ROOT.parent / command).is_file() for command in commands)


@each(FILES)
def test_precision_and_speed_settings(path):
    """bfloat16, except for mmcv's RoIAlign, which lacks it; cuDNN benchmarks only if all batches have one size."""
    config = read(path)
    if '-amp-' in path.name:
        assert config.optim_wrapper.dtype == ('float16' if 'roi_head' in config.model else 'bfloat16')
    assert config.get('optim_wrapper', {}).get('loss_scale') is None
    assert config.env_cfg.cudnn_benchmark == (path.parent.name != 'detection')


def longest_chain(path):
    """Return the length of the longest chain of base configs."""
    assigned = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Assign)]
    bases = [ast.literal_eval(node.value) for node in assigned if getattr(node.targets[0], 'id', '') == '_base_']
    bases = [bases[0]] if bases and isinstance(bases[0], str) else sum(bases, [])
    return max((1 + longest_chain(path.parent / base) for base in bases), default=0)


@each(FILES)
def test_a_config_is_read_within_three_steps(path):
    assert longest_chain(path) <= 3
    assert '::' not in path.read_text(), 'a config stands on this repository only'


@each([*FILES, *(ROOT.parent / 'projects').rglob('*.py')])
def test_no_pipeline_is_edited_by_position(path):
    assert not re.search(r'pipeline\[', path.read_text()), 'name a step by its type'


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
    """Compute the official schedule at every iteration, as a fraction of epochs."""
    epoch = np.arange(epochs * epoch_length + 1) / epoch_length
    cosine = floor + (base - floor) * 0.5 * (1 + np.cos(math.pi * (epoch - warmup) / (epochs - warmup)))
    return np.where(epoch < warmup, base * epoch / warmup, cosine)


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


@each(PRETRAINING)
def test_pretraining_has_the_official_optimizer_and_the_mixture_is_cut_alike_everywhere(path):
    config = read(path)
    model, wrapper = config.model, config.optim_wrapper
    assert model.data_preprocessor.cell_size == model.neck.cell_size == model.head.cell_size
    (crop,) = (step.scale for step in config.train_dataloader.dataset.pipeline if 'scale' in step)
    assert model.neck.grid_size * model.neck.cell_size == model.backbone.get('img_size', crop) == crop
    assert config.train_dataloader.batch_size % model.data_preprocessor.num_sources == 0
    if path not in MICRO:
        assert (wrapper.optimizer.type, wrapper.optimizer.betas) == ('AdamW', (0.9, 0.95))
        assert (wrapper.dtype, wrapper.paramwise_cfg) == ('bfloat16', {'layer_decay_rate': 1.0})
        assert wrapper.optimizer.lr == pytest.approx(1.5e-4 * config.auto_scale_lr.base_batch_size / 256)


@each([path for path in FINETUNING if 'scratch' in path.name])
def test_training_from_scratch_has_the_same_budget(path):
    scratch, finetuning = (read(path.with_name(path.name.replace(part, ''))) for part in ('', '-scratch'))
    assert scratch.model.backbone.init_cfg is None
    for key in ('train_dataloader', 'val_dataloader', 'train_cfg', 'param_scheduler', 'auto_scale_lr'):
        assert scratch[key] == finetuning[key]
    assert scratch.optim_wrapper.optimizer == finetuning.optim_wrapper.optimizer


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
    """List what a config changes of another, without the overrides in `as_mae`."""
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
MAE = {
    'model.type': 'mixmae_mm.MAE',
    'model.data_preprocessor.num_sources': 1,
    'model.data_preprocessor.mask_ratio': 0.75,
    'model.backbone.num_sources': 1,
    'model.backbone.attention': 'global',
    'model.contrast': None,
}


def related():
    """List configs that differ only in what their names say: (variant, base, changes)."""
    for name, changed in ABLATIONS.items():
        yield ABLATED.replace('-p16_', f'-p16-{name}_'), ABLATED, changed
    for data in ('imagenette-96px', 'materials-64px'):
        micro = f'mixedae/mixedae_vit-micro-p8_1xb64-coslr-40e_{data}.py'
        yield micro.replace('mixedae', 'mae'), micro, MAE
        yield micro.replace('-p8_', '-p8-naive_'), micro, NAIVE
    for path in PRETRAINING:
        if path.parent.name == 'mae' and path not in MICRO:
            yield f'mae/{path.name}', f'mixedae/{path.name.replace("mae_", "mixedae_")}', MAE
    for size, epochs in itertools.product(('small', 'base', 'large'), (300, 800, 1600)):
        arch = {'model.backbone.arch': size, 'model.neck.in_channels': VIT_ARCHS[size]['embed_dims']}
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


def offered_ablations():
    """Read the table of configs/mixedae/README.md: {name: options}."""
    rows = re.findall(r'^\| (\w+) \|.*\| `(model\..+)` \|$', (ROOT / 'mixedae/README.md').read_text(), re.MULTILINE)
    return {name: options.split() for name, options in rows}


@pytest.mark.parametrize('options', offered_ablations().values(), ids=offered_ablations())
def test_an_offered_ablation_changes_what_it_says_and_can_be_built(options):
    config = read_config(argument_parser('').parse_args([str(ROOT / ABLATED), '--cfg-options', *options]))
    changed = differences(read(ABLATED).model, config.model, 'model.')
    assert changed.keys() == {option.partition('=')[0] for option in options}
    assert 0 <= sum(each.numel() for each in build_model(config).parameters()) - 111_907_840 <= 2 * 3_072


def test_an_open_choice_stands_in_the_model_file_with_its_standing():
    """Settings and defaults match the table of docs/mixedae.md."""
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
