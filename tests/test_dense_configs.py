"""Every config of detection and segmentation: builds in its library's scope, reads data, trains, predicts.

Big configs are made small by one rule: an eighth of all sizes in pixels and tokens, and few channels.
"""

import copy
import functools
import json
import math
import re

import numpy as np
import pytest
import torch
from metafiles import parameters
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DATASETS, MODELS, init_default_scope
from mmengine.runner import Runner
from PIL import Image
from shipped_configs import (
    BATCH,
    ROOT,
    build_optimizer,
    check_decay,
    each,
    from_file,
    has_stock_encoder,
    settings_with,
    without_weights,
)
from stock_encoders import TWINS

from mixmae_mm.models.backbones.archs import SWIN_ARCHS as SWINS

pytest.importorskip('mmcv._ext', reason='needs mmcv with compiled ops')
CocoDataset = pytest.importorskip('mmdet.datasets').CocoDataset
FILES = sorted(path for folder in ('detection', 'segmentation') for path in (ROOT / folder).glob('*.py'))
DETECTION = [path for path in FILES if path.parent.name == 'detection']
SEGMENTATION = [path for path in FILES if path.parent.name == 'segmentation']
BIG = [path for path in FILES if 'micro' not in path.name]
OWN_MODEL = [path for path in FILES if 'scratch' not in path.name and '3x' not in path.name]
"""Without those that differ from another in the encoder's file or the number of epochs alone."""
PIXELS = ('scale', 'crop_size', 'size', 'img_size', 'stride', 'window_size', 'wide_window', 'test_size')
FACTOR = 8


@pytest.fixture(autouse=True)
def scope():
    yield
    init_default_scope('mmpretrain')  # what other tests build in


@functools.cache
def written_out(path):
    return Config.fromstring(from_file(path).pretty_text, '.py')  # as a run's work_dir keeps it


def read(path):
    config = copy.deepcopy(written_out(path))
    init_default_scope(config.default_scope)
    return config


def divided(value):
    """Divide a size, or each size of a tuple or list, by 8; sizes below 8 stay."""
    if isinstance(value, (tuple, list)):
        return type(value)(divided(part) for part in value)
    return value // FACTOR if isinstance(value, int) and value >= FACTOR else value


SMALL_STOCK = {
    'SwinTransformer': dict(embed_dims=8, depths=(1, 1, 2, 1), num_heads=(1, 1, 2, 2)),
    'PyramidVisionTransformer': dict(embed_dims=8, num_layers=[1, 1, 2, 1], num_heads=[1, 2, 4, 8]),
    'SVT': dict(arch=TWINS | dict(embed_dims=[8, 16, 32, 64], window_sizes=[7] * 4)),
}


def small(config):
    """Make a config of a big model small, in place."""
    for key in (*PIXELS, 'scales', 'window_sizes'):
        for node in settings_with(key, list(config.values())):
            if key != 'scales' or isinstance(node['scales'][0], (tuple, list)):
                node[key] = divided(node[key])
    backbone, swin = config.model.backbone, config.model.backbone.type.endswith('Swin')
    widths = [16] * 4 if backbone.type.endswith('ViT') else [8, 16, 32, 64]
    if has_stock_encoder(config):
        backbone.update(SMALL_STOCK[backbone.type.rpartition('.')[2]])
    elif swin:
        backbone.arch = dict(embed_dims=8, depths=(1, 1, 2, 1), num_heads=(1, 1, 2, 2))
        backbone.wide_blocks = (1,)
    else:
        backbone.arch = dict(embed_dims=16, depth=max((*backbone.get('global_blocks', ()), 11)) + 1, num_heads=2)
        backbone.arch.depth = max(backbone.arch.depth, max(backbone.get('out_indices', (0,))) + 1)
    narrow(config, widths)
    return config


def narrow(config, widths):
    """Fit necks and heads to the encoder's channels."""
    model = config.model
    necks = model.neck if isinstance(model.get('neck'), list) else [model.get('neck') or {}]
    for neck in necks:
        if neck.get('type', '').endswith('ViTPyramid'):
            neck.in_channels = widths[-1]
            widths = [4, 8, 16, 16] if neck.get('halve') else widths
        elif neck:
            neck.in_channels = widths
    if 'decode_head' in model:
        model.decode_head.update(in_channels=widths, channels=16)
        model.auxiliary_head.update(in_channels=widths[model.auxiliary_head.in_index], channels=8)
    else:
        stages = model.train_cfg.rcnn if isinstance(model.train_cfg.rcnn, list) else [model.train_cfg.rcnn]
        for stage in stages:
            stage.sampler.num = 16
        for proposals in (model.train_cfg.rpn_proposal, model.test_cfg.rpn):
            proposals.update(nms_pre=100, max_per_img=20)
        for head in box_heads(model):
            head.fc_out_channels = 16
        for key in ('in_channels', 'out_channels', 'feat_channels', 'conv_out_channels'):
            for node in settings_with(key, [model]):
                node[key] = 16 if node[key] == 256 else node[key]


def box_heads(model):
    heads = model.roi_head.bbox_head
    return heads if isinstance(heads, list) else [heads]


def load(path):
    config = read(path)
    return config if 'micro' in path.name else small(config)


def build(config):
    """Build on the CPU without loading the encoder's checkpoint; return the model and its `init_cfg`."""
    init = config.model.backbone.pop('init_cfg', None)
    return revert_sync_batchnorm(MODELS.build(config.model)), init


@each(FILES)
def test_it_builds_at_full_size_and_its_layers_decay(path):
    config = read(path)
    assert 'custom_imports' not in config
    with without_weights(config):
        model = MODELS.build(config.model)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters(path)
    check_decay(config, model)
    if has_stock_encoder(config):
        assert config.optim_wrapper.paramwise_cfg.layer_decay_rate == 1
        return
    backbone, arch = model.backbone, config.model.backbone.arch
    if 'swin' in path.name and isinstance(arch, str):
        assert backbone.num_features[0] == SWINS[arch]['embed_dims']
        assert {block.attn.window for block in backbone.layers[2].blocks[5:18:6]} <= {(32, 32), (40, 40)}
    groups = build_optimizer(model, config).optimizer.param_groups
    scales = {id(parameter): group['lr_scale'] for group in groups for parameter in group['params']}
    decay = config.optim_wrapper.paramwise_cfg.layer_decay_rate
    depth = len(backbone.blocks) if hasattr(backbone, 'blocks') else sum(backbone.arch.depths)
    own = {id(parameter) for parameter in backbone.parameters()}
    assert {scale for parameter, scale in scales.items() if parameter not in own} == {1}
    assert scales[id(backbone.patch_embed.proj.weight)] == pytest.approx(decay ** (depth + 1))
    assert (decay == 1) == ('scratch' in path.name or 'materials' in path.name)


LENGTHS = {'-1x': 12, '-3x': 36, '-100e': 184_375, '-160k': 160_000, '-40k': 40_000}
LENGTHS |= {f'-{epochs}e_': epochs for epochs in (6, 12, 20, 40)}


@each(FILES)
def test_numbers_are_those_of_the_name_and_of_the_data(path):
    config, (gpus, batch) = read(path), BATCH.search(path.name).group('gpus', 'batch')
    assert config.train_dataloader.batch_size == int(batch)
    accumulation = config.optim_wrapper.get('accumulative_counts', 1)
    assert config.auto_scale_lr.base_batch_size == int(gpus) * int(batch) * accumulation
    named = [length for name, length in LENGTHS.items() if name in path.name]
    assert named == [config.train_cfg.get('max_epochs', config.train_cfg.get('max_iters'))]
    model, size = config.model, re.search(r'-(\d+)(px|x\d+)\.py', path.name)
    assert has_stock_encoder(config) != bool(re.search('mixmim|vit', path.name))
    if not has_stock_encoder(config):
        assert size is None or model.backbone.img_size in (int(size[1]), (int(size[1]),) * 2)
        assert ('large' in path.name) == (model.backbone.arch == 'large')
    padding = model.data_preprocessor.get('pad_value', model.data_preprocessor.get('pad_val'))
    jitter = model.data_preprocessor.get('batch_augments') if 'lsj' in path.name else None
    padded = [augment.img_pad_value for augment in jitter or []]
    assert {padding, *padded} == {model.backbone.get('pad_value', 0)}
    assert ('pad_value' in model.backbone) != has_stock_encoder(config)
    assert model.backbone.get('pad_value', -1e3) == -1e3
    metainfo = config.train_dataloader.dataset.get('metainfo') or {}
    segmenting = [model.get('decode_head'), model.get('auxiliary_head')]
    heads = [*box_heads(model), model.roi_head.mask_head] if path in DETECTION else segmenting
    number = len(metainfo.get('classes', range(80 if path in DETECTION else 150)))
    assert {head.num_classes for head in heads} == {number}
    assert [config[f'{split}_dataloader'].dataset.get('metainfo') or {} for split in ('val', 'test')] == [metainfo] * 2
    if 'ade20k' in path.name and '-whole_' not in path.name:
        side = int(size[1])
        assert model.test_cfg.to_dict() == dict(mode='slide', crop_size=(side, side), stride=(side * 2 // 3,) * 2)


# learning rate, weight decay, layer decay and drop path of detectron2's ViTDet, iBOT, mmseg's MAE and, in ranges, BEiT
RECIPES = {
    'mask-rcnn_mixmim-swin-base_fpn_8xb8-amp-lsj-100e_coco': (1e-4, 0.1, 0.85, 0.2),
    'mask-rcnn_mixmim-swin-large_fpn_8xb8-amp-lsj-100e_coco': (1e-4, 0.1, 0.9, 0.3),
    'mask-rcnn_vit-base_fpn_8xb8-amp-lsj-100e_coco': (1e-4, 0.1, 0.7, 0.1),
    'mask-rcnn_vit-large_fpn_8xb8-amp-lsj-100e_coco': (1e-4, 0.1, 0.8, 0.4),
    'mask-rcnn_mixmim-swin-base_fpn_8xb2-amp-ms-1x_coco': (1e-4, 0.05, 0.85, 0.2),
    'mask-rcnn_mixmim-swin-base_fpn_8xb2-amp-ms-3x_coco': (1e-4, 0.05, 0.85, 0.2),
    'mask-rcnn_mixmim-swin-base_fpn_1xb2-amp-ms-1x_custom': (1e-4 / 8, 0.05, 0.85, 0.2),
    'mask-rcnn_mixmim-swin-tiny_fpn_8xb2-amp-ms-1x_coco': (1e-4, 0.05, 0.85, 0.2),
    'mask-rcnn_swin-tiny_fpn_8xb2-amp-ms-1x_coco': (1e-4, 0.05, 1.0, 0.1),
    'mask-rcnn_pvt-large_fpn_8xb2-amp-ms-1x_coco': (1e-4, 0.05, 1.0, 0.3),
    'mask-rcnn_vit-base_fpn_8xb2-amp-ms-1x_coco': (1e-4, 0.05, 0.75, 0.1),
    'mask-rcnn_vit-small_fpn_8xb2-amp-ms-1x_coco': (1e-4, 0.05, 0.75, 0.1),
    'cascade-mask-rcnn_vit-base_fpn_8xb2-amp-ms-1x_coco': (1e-4, 0.05, 0.75, 0.2),
    'cascade-mask-rcnn_vit-large_fpn_8xb2-amp-ms-1x_coco': (1e-4, 0.05, 0.8, 0.2),
    'upernet_mixmim-swin-base_8xb2-amp-160k_ade20k-512x512': (5e-5, 0.05, 0.9, 0.1),
    'upernet_mixmim-swin-base-whole_8xb2-amp-160k_ade20k-512x512': (5e-5, 0.05, 0.9, 0.1),
    'upernet_mixmim-swin-base_1xb4-amp-40k_custom': (5e-5, 0.05, 0.9, 0.1),
    'upernet_mixmim-swin-large_8xb2-amp-160k_ade20k-640x640': (5e-5, 0.05, 0.9, 0.2),
    'upernet_mixmim-swin-tiny_8xb2-amp-160k_ade20k-512x512': (5e-5, 0.05, 0.9, 0.1),
    'upernet_swin-tiny_8xb2-amp-160k_ade20k-512x512': (5e-5, 0.05, 1.0, 0.1),
    'upernet_twins-svt-large_8xb2-amp-160k_ade20k-512x512': (5e-5, 0.05, 1.0, 0.3),
    'upernet_vit-base_8xb2-amp-160k_ade20k-512x512': (1e-4, 0.05, 0.65, 0.1),
    'upernet_vit-small_8xb2-amp-160k_ade20k-512x512': (1e-4, 0.05, 0.65, 0.1),
    'upernet_vit-large_8xb2-amp-160k_ade20k-640x640': (1e-4, 0.05, 0.75, 0.2),
}
# iterations of warm-up, and after how many epochs, or of 100 epochs iterations, the rate falls
WARMUP_AND_STEPS = {
    '-100e': (250, [163_889, 177_546]), '-1x': (500, [8, 11]), '-3x': (500, [27, 33]), '0k_': (1500, None)
}  # fmt: skip


@each(BIG)
def test_the_recipe_is_that_of_its_source(path):
    config = read(path)
    optimizer, decay = config.optim_wrapper.optimizer, config.optim_wrapper.paramwise_cfg.layer_decay_rate
    drop_path = config.model.backbone.drop_path_rate
    assert (optimizer.lr, optimizer.weight_decay, decay, drop_path) == RECIPES[path.stem]
    assert (optimizer.type, optimizer.betas) == ('AdamW', (0.9, 0.999))
    warmup, falling = config.param_scheduler
    steps = next(steps for name, steps in WARMUP_AND_STEPS.items() if name in path.name)
    assert (warmup.end, falling.get('milestones')) == steps
    assert 'clip_grad' not in config.optim_wrapper


@each([path for path in FILES if re.search('mixmim|vit', path.name)])
def test_maps_come_from_blocks_spread_as_their_source_has_them(path):
    backbone = read(path).model.backbone
    large = backbone.arch == 'large'
    if backbone.type.endswith('Swin'):
        assert [*backbone.out_indices] == [*range(len(backbone.window_sizes))]
        assert backbone.arch not in ('base', 'large') or backbone.wide_blocks == (5, 11, 17)
        assert backbone.arch != 'tiny' or backbone.wide_blocks == (5,)
    elif 'window_size' in backbone and backbone.arch in ('small', 'base', 'large'):
        assert backbone.global_blocks == ((5, 11, 17, 23) if large else (2, 5, 8, 11))
    elif 'micro' not in path.name:
        assert backbone.out_indices == ((7, 11, 15, 23) if large else (3, 5, 7, 11))


def sides(pipeline, key):
    return [step[key] for step in settings_with(key, [*pipeline])]


@each([path for path in BIG if 'custom' not in path.name])
def test_pipelines_have_the_sizes_that_their_sources_have(path):
    config = read(path)
    train, test = (config[f'{split}_dataloader'].dataset.pipeline for split in ('train', 'val'))
    scales, crops = {*map(tuple, sides(test, 'scale'))}, [tuple(size) for size in sides(train, 'crop_size')]
    if path in SEGMENTATION:
        size = int(re.search(r'(\d+)x\d+\.py', path.name)[1])
        assert (scales, crops) == ({(4 * size, size)}, [(size, size)])
        assert [tuple(scale) for scale in sides(train, 'scale')] == [(4 * size, size)]
    elif '-lsj-' in path.name:
        assert (scales, crops) == ({(1024, 1024)}, [(1024, 1024)])
        assert sides(train, 'ratio_range') == [(0.1, 2.0)]
    else:
        assert scales == {(1333, 800)}
        usual = [(1333, side) for side in range(480, 801, 32)]
        cropped = [usual, [(1333, 400), (1333, 500), (1333, 600)], usual]  # as DETR and iBOT
        assert [[*map(tuple, of)] for of in sides(train, 'scales')] == (cropped if 'cascade' in path.name else [usual])


def write_image(path, height, width, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)).save(path)


def write_coco(folder, dataset):
    """Write four images of 96 x 80 px, each with two rectangular objects, of different classes if there are two."""
    classes = dataset.get('metainfo', {}).get('classes') or CocoDataset.METAINFO['classes']
    images, annotations = [], []
    for number in range(4):
        write_image(folder / dataset.data_prefix.img / f'{number}.jpg', 80, 96, number)
        images.append(dict(id=number, file_name=f'{number}.jpg', width=96, height=80))
    for place in range(8):
        left = 5 + 40 * (place % 2)
        thing = dict(id=place, image_id=place // 2, category_id=1 + place % 2 % len(classes), iscrowd=0)
        corners = [left, 10, left + 36, 10, left + 36, 58, left, 58]
        annotations.append(dict(thing, bbox=[left, 10, 36, 48], area=36 * 48, segmentation=[corners]))
    categories = [dict(id=number + 1, name=name) for number, name in enumerate(classes)]
    (folder / dataset.ann_file).parent.mkdir(exist_ok=True)
    content = dict(images=images, annotations=annotations, categories=categories)
    (folder / dataset.ann_file).write_text(json.dumps(content))


def write_masks(folder, dataset):
    """Write four images of 200 x 160 px with masks of class 1, another class, and one ignored pixel."""
    classes = len(dataset.get('metainfo', {}).get('classes', range(150)))
    mask = np.full((160, 200), 1, np.uint8)
    mask[:, 100:] = 2 if classes > 2 else 0
    mask[0, 0] = 255
    for number in range(4):
        write_image(folder / dataset.data_prefix.img_path / f'{number}.jpg', 160, 200, number)
        path = folder / dataset.data_prefix.seg_map_path / f'{number}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(path)


def made_up(config, folder, split):
    """Build the loader's dataset on made-up files."""
    dataset = config[f'{split}_dataloader'].dataset
    (write_coco if 'ann_file' in dataset else write_masks)(folder, dataset)
    return DATASETS.build(dict(dataset, data_root=str(folder), indices=None))  # all of them


def a_step(config, folder, precision=None):
    """Run a training step on made-up files; return the model, its loss and the batch."""
    torch.manual_seed(0)
    loader = dict(config.train_dataloader, batch_size=2, num_workers=0, persistent_workers=False)
    batch = next(iter(Runner.build_dataloader(dict(loader, dataset=made_up(config, folder, 'train')), seed=0)))
    model, _ = build(config)
    model.train()
    with torch.autocast('cpu', precision, enabled=precision is not None):
        loss, _ = model.parse_losses(model(**model.data_preprocessor(batch, training=True), mode='loss'))
    loss.backward()
    return model, loss.item(), batch


@each(OWN_MODEL)
def test_a_step_of_training_and_a_prediction(path, tmp_path):
    """Files go through pipeline, preprocessor and model to gradients, and to masks as large as the images."""
    config = load(path)
    infinite = config.train_cfg.get('type') == 'IterBasedTrainLoop'
    sampler = config.train_dataloader.sampler.type
    assert sampler == ('mixmae_mm.SeededInfiniteSampler' if infinite else 'mixmae_mm.SeededSampler')
    model, loss, batch = a_step(config, tmp_path)
    assert len(batch['inputs']) == 2
    assert math.isfinite(loss)
    assert [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None] == []
    patches = next(weight for weight in model.backbone.parameters() if weight.ndim == 4)
    assert patches.grad.abs().sum() > 0
    dataset = made_up(config, tmp_path, 'val')
    with torch.no_grad():
        result = model.eval().test_step(pseudo_collate([dataset[0]]))[0]
    if path in DETECTION:
        assert tuple(result.pred_instances.masks.shape[1:]) == (80, 96)
        val = config.val_dataloader.dataset
        assert config.val_evaluator.ann_file == config.test_evaluator.ann_file == f'{val.data_root}{val.ann_file}'
    else:
        assert tuple(result.pred_sem_seg.data.shape) == tuple(result.gt_sem_seg.data.shape) == (1, 160, 200)
        assert result.seg_logits.data.shape[0] == len(dataset.metainfo['classes'])
        shift = int('ade20k' in path.name)  # the file's 1 is the first class there
        assert result.gt_sem_seg.data[0, 1, 1] == 1 - shift


@pytest.fixture
def autocast_of_gpus(monkeypatch):
    """Compute `exp` in float32, as autocast does on a GPU but not on a CPU, so that boxes reach mmcv in float32."""
    exp = torch.Tensor.exp
    monkeypatch.setattr(torch.Tensor, 'exp', lambda x: exp(x.float()))


ONE_DETECTOR = ROOT / 'detection/mask-rcnn_vit-base_fpn_8xb2-amp-ms-1x_coco.py'  # a step in float16 takes a CPU seconds


@each([*(path for path in BIG if path in SEGMENTATION), ONE_DETECTOR])
def test_a_step_in_the_precision_of_the_config(path, tmp_path, autocast_of_gpus):
    config = load(path)
    _, loss, _ = a_step(config, tmp_path, getattr(torch, config.optim_wrapper.dtype))
    _, expected, _ = a_step(load(path), tmp_path)
    assert loss == pytest.approx(expected, rel=0.02)


@each([path for path in FILES if 'base_8xb2-amp-160k_ade20k' in path.name])
def test_several_scales_flipped(path, tmp_path):
    """Test as `tools/test.py --tta` does."""
    config = load(path)
    config.val_dataloader.dataset.pipeline = config.tta_pipeline
    dataset = made_up(config, tmp_path, 'val')
    config.model.backbone.pop('init_cfg')
    model = revert_sync_batchnorm(MODELS.build(dict(config.tta_model, module=config.model))).eval()
    batch = pseudo_collate([dataset[0]])
    assert len(batch['inputs']) == 12
    with torch.no_grad():
        assert tuple(model.test_step(batch)[0].pred_sem_seg.data.shape) == (1, 160, 200)
