"""What is prepared for a GPU, rehearsed on the CPU: other ways to compute attention, the parts, and their processes."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tool_loading import TOOLS

sys.path.append(str(TOOLS / 'benchmarks'))

import gpu
import gpu_attention
import gpu_parts
import torchvision_ops
from contenders import mixedae, mixmae
from gpu_attention import as_on_gpu, bisect_keys, bucketed, by_threshold, compiled, explicit, flexible

from mixmae_mm.models.utils.homologous_attention import top_keys
from mixmae_mm.utils import atomic_write, compat

DATA = Path(__file__).parents[1] / 'data'
TOY = gpu_parts.TOY
SMALL = dict(size=64, decoder=TOY.decoder)
MIXMAE, MIXEDAE = mixmae(TOY.swin, **SMALL), mixedae(4, True, TOY.vit, **SMALL)
VARIANTS = {
    'explicit': (MIXMAE, explicit, None),
    'compiled': (MIXMAE, partial(compiled, backend='eager'), None),
    'bucketed': (MIXMAE, bucketed, 'attend_buckets'),
    'FlexAttention': (MIXMAE, flexible, 'flex_forward'),
    'explicit ViT': (MIXEDAE, explicit, None),
    'keys by bisection': (MIXEDAE, by_threshold, 'bisect_keys'),
}
NEEDS_OPS = pytest.mark.skipif(compat.torchvision_is_crippled(), reason='this torchvision has no compiled ops')


@pytest.mark.filterwarnings('ignore:flex_attention called without torch.compile')
@pytest.mark.parametrize('name', VARIANTS)
def test_variants_compute_what_the_shipped_attention_does(name, monkeypatch):
    contender, variant, function = VARIANTS[name]
    calls = []
    if function is not None:
        original = getattr(gpu_attention, function)
        monkeypatch.setattr(gpu_attention, function, lambda *args: calls.append(1) or original(*args))
    torch.manual_seed(0)
    model, images = contender.build(), torch.randn(8, 3, 64, 64)
    if contender is MIXMAE:  # segments of several lengths, in windows that cross cells and have biases that count
        for stage, window in zip(model.backbone.layers, (6, 8, 4, 2), strict=True):
            for block in stage.blocks:
                block.attn.__init__(block.norm1.normalized_shape[0], block.attn.num_heads, (window, window))
                torch.nn.init.normal_(block.attn.relative_position_bias_table)
    with as_on_gpu():
        loss, shipped = gpu_parts.passes(contender, model, images, False)
        with variant(model):
            other, gradients = gpu_parts.passes(contender, model, images, False)
        found = gpu_parts.compare(contender, model, images, False, variant)
    assert bool(calls) == (function is not None)
    assert other == pytest.approx(loss, rel=1e-6)
    largest = max(gradient.abs().max() for gradient in shipped.values())
    torch.testing.assert_close(gradients, shipped, atol=1e-6 * largest.item(), rtol=1e-4)
    assert found['gradients'] < 1e-4


def test_a_variant_that_computes_something_else_is_not_timed():
    def without_mask(model):
        return gpu_attention.patched((model.backbone, 'attention', 'global'))

    with as_on_gpu():
        row = gpu_parts.time_case(TOY, 1.0, MIXMAE, without_mask, False)
    assert not row['passed']
    assert row['gradients_differ'] > gpu_parts.ALIKE[False]
    assert 'images_per_second' not in row


@pytest.mark.parametrize('num_keys', [1, 5, 36, 37])
def test_bisection_keeps_the_keys_of_topk_and_as_many_with_ties(num_keys):
    logits = torch.randn(6, 3, 37) * torch.tensor([1e-30, 1.0, 1e30])[:, None]
    assert torch.equal(bisect_keys(logits, num_keys), top_keys(logits, num_keys))
    ties = torch.randint(-2, 3, (50, 37)).float()
    ties[0, :9], ties[1] = float('inf'), float('-inf')
    kept = bisect_keys(ties, num_keys)
    assert (kept.sum(-1) == num_keys).all()
    assert torch.equal(ties[kept].view(50, -1).sort().values, ties[top_keys(ties, num_keys)].view(50, -1).sort().values)


@pytest.fixture
def setup(tmp_path):
    """What a rehearsal is given, with photos of two classes."""
    for split in ('train', 'val'):
        for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), np.uint8)):
            path = tmp_path / split / 'ab'[number % 2] / f'{number}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).resize((72, 72)).save(path)
    return replace(TOY, golden=DATA, data=tmp_path)


@pytest.mark.parametrize(
    'name', ['parity', 'mixmae', 'nan', 'pretraining', pytest.param('vit', marks=pytest.mark.slow)]
)
def test_parts_are_rehearsed(name, setup):
    """The others are slow on a CPU and are rehearsed by the tool alone; FlexAttention is compared above."""
    rows = [*gpu_parts.run(name, setup)]
    assert len(rows) > 1
    json.dumps(rows)
    losses = [row['loss'] for row in rows if 'knn' in row]  # of runs with the same seed and different settings
    assert len({*losses}) == len(losses) == (len(gpu_parts.FINALISTS) if name == 'pretraining' else 0)
    assert {row['what']: row for row in rows if 'error' in row or 'skipped' in row or not row.get('passed', True)} == {}


def test_what_is_missing_is_skipped_with_the_reason():
    rows = {row['what']: row.get('skipped') for row in gpu_parts.run('pretraining', TOY)}
    assert rows == {'photos': 'no folder of photos: --data is not given'}
    rows = gpu_parts.run('parity', TOY)
    assert 'no folder of golden files' in [next(rows), next(rows)][1]['skipped']


PARTS = {
    'raises': 'print(\'{"what": "1"}\', file=rows, flush=True); raise ValueError("why")',
    'hangs': 'print(\'{"what": "2"}\\n{"cut o\', end="", file=rows, flush=True); time.sleep(60)',
    'dies': 'os.kill(os.getpid(), 9)',
    'sound': 'print(\'{"what": "3"}\', file=rows, flush=True)',
}


def test_no_part_stops_the_next_ones(tmp_path, monkeypatch):
    def command(name, rows):
        program = f'import os, sys, time; rows = open(sys.argv[1], "a"); sys.stdin.readline(); {PARTS[name]}'
        return [sys.executable, '-S', '-c', program, str(rows)]

    written = []
    monkeypatch.setattr(gpu, 'atomic_write', lambda path: written.append(1) or atomic_write.atomic_write(path))
    start, plan = time.monotonic(), dict(raises=30, hangs=1, dies=30, sound=30)
    report = gpu.run_plan(plan, command, tmp_path / 'gpu.json', dict(rehearsal=True))
    assert time.monotonic() - start < 50
    assert json.loads((tmp_path / 'gpu.json').read_text()) == report
    assert len(written) == len(plan)
    parts = report['parts']
    statuses = {name: part['status'] for name, part in parts.items()}
    assert statuses == dict(raises='ended with 1', hangs='stopped after 1 s', dies='ended with -9', sound='done')
    assert [part['rows'] for part in parts.values()] == [[dict(what='1')], [dict(what='2')], [], [dict(what='3')]]
    assert parts['raises']['log'][-1] == 'ValueError: why'
    assert 'log' not in parts['sound']
    assert gpu.draw(report).row_count == 7


def test_the_plan_takes_nine_minutes_and_names_all_parts():
    assert sum(gpu.PLAN.values()) == 9 * 60
    assert [*gpu.PLAN] == [*gpu_parts.PARTS]


def test_the_pack_has_what_the_stack_needs_and_fits(tmp_path):
    build, download = gpu.pack_commands(tmp_path)
    assert {'onedl-mmengine', 'onedl-mmcv', 'onedl-mmpretrain', str(gpu.ROOT), '--no-deps'} <= {*build}
    assert {'--only-binary=:all:', '--python-version=312', '--no-deps'} <= {*download}
    packed = {*gpu.WHEELS, *gpu.COMPILED}
    lines = [*(gpu.ROOT / 'requirements/mminstall.txt').open(), *(gpu.ROOT / 'requirements/dense.txt').open()]
    pinned = {line.partition('==')[0] for line in lines if '==' in line and line[0] != '#'}
    there = {'imageio', 'lazy-loader', 'ninja', 'pyyaml', 'regex', 'scikit-image', 'scipy', 'six', 'tifffile', 'tqdm'}
    assert pinned - packed == there
    with pytest.raises(ValueError, match='has 0 wheels'):
        gpu.check_wheels(tmp_path)
    (tmp_path / 'pure-1-py3-none-any.whl').write_bytes(b'0' * 2**20)
    (tmp_path / 'bound-1-cp312-cp312-manylinux_2_28_x86_64.whl').write_bytes(b'0')
    (tmp_path / 'stable-1-cp310-abi3-manylinux2014_x86_64.whl').write_bytes(b'0')
    assert gpu.check_wheels(tmp_path) == '3 wheels, 1.0 MiB'
    os.truncate(tmp_path / 'pure-1-py3-none-any.whl', gpu.MOST_BYTES + 1)
    with pytest.raises(ValueError, match=r'64\.0 MiB'):
        gpu.check_wheels(tmp_path)
    os.truncate(tmp_path / 'pure-1-py3-none-any.whl', 1)
    (tmp_path / 'bound-1-cp311-cp311-manylinux2014_x86_64.whl').write_bytes(b'0')
    (tmp_path / 'stable-1-cp310-abi3-manylinux2014_aarch64.whl').write_bytes(b'0')
    with pytest.raises(ValueError, match='2 are for another Python than 312 or another system .bound-1-cp311'):
        gpu.check_wheels(tmp_path)


WITHOUT_OPS = """
import importlib.util, sys
sys.path.insert(0, sys.argv[1])
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *package: None if name == 'mmcv._ext' else find(name, *package)
from mixmae_mm.utils import compat
compat.apply()
from torchvision_ops import stand_in
assert stand_in()
import gpu_parts
for row in gpu_parts.run('dense', gpu_parts.TOY):
    print(row)
import mmcv.ops, torch
try:
    mmcv.ops.sigmoid_focal_loss(torch.zeros(1, 1), torch.zeros(1).long())
except NotImplementedError as error:
    print(error)
"""


@pytest.mark.slow
@NEEDS_OPS
def test_detectors_are_trained_without_mmcvs_ops():
    pytest.importorskip('mmdet')
    command = [sys.executable, '-W', 'ignore', '-c', WITHOUT_OPS, str(TOOLS / 'benchmarks')]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.count("'passed': True") == 2, said
    assert "'text': \"torchvision's\"" in said
    assert "mmcv's op sigmoid_focal_loss_forward is not compiled here" in said


@NEEDS_OPS
def test_torchvisions_ops_are_mmcvs(monkeypatch):
    pytest.importorskip('mmcv._ext')
    from mmcv import ops

    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(50, 4, generator=generator) * 20
    boxes = torch.cat([corners[:, :2], corners[:, :2] + corners[:, 2:]], dim=1)
    scores, images = torch.rand(50, generator=generator), torch.rand(2, 3, 16, 20, generator=generator)
    owners = torch.cat([torch.arange(50)[:, None] % 2, boxes], dim=1)

    def results():
        leaf = images.clone().requires_grad_()
        pooled = ops.roi_align(leaf, owners, (7, 5), 0.5, 0, 'avg', True)
        pooled.square().sum().backward()
        return pooled.detach(), leaf.grad, ops.nms(boxes, scores, 0.3)[1]

    theirs = results()
    for module in ('nms', 'roi_align'):
        monkeypatch.setattr(sys.modules[f'mmcv.ops.{module}'], 'ext_module', torchvision_ops.Ops('mmcv._ext'))
    ours = results()
    torch.testing.assert_close(ours, theirs)
    assert 0 < len(ours[2]) < 50
    with pytest.raises(NotImplementedError, match='pool_mode=0'):
        ops.roi_align(images, owners, (7, 5), 0.5, 0, 'max', True)
    with pytest.raises(NotImplementedError, match='offset=1'):
        ops.nms(boxes, scores, 0.3, 1)
