"""Parts of `gpu.py`: generators of rows, one for each thing tried, so that the rows before a failure are kept.

A row is a dict of plain numbers and texts that begins with `what`; `passed`, `skipped` and `error` are its verdicts.
"""

import gc
import importlib.util
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path

from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

import numpy as np
import torch
from contenders import Contender, mae, mixedae, mixmae, mixmim
from gpu_attention import (
    Variant,
    as_on_gpu,
    bisect_keys,
    bisect_keys_fused,
    bucketed,
    by_threshold,
    compiled,
    explicit,
    flexible,
)
from measuring import held_during, machine, matrix_peak, medians, operations, step
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import revert_sync_batchnorm
from mmengine.runner import Runner
from one_step import build
from PIL import Image
from torch import Tensor, nn
from torchvision_ops import Ops

from mixmae_mm.mixing import mix_images, random_assignment
from mixmae_mm.models.backbones.archs import VIT_ARCHS
from mixmae_mm.models.utils.homologous_attention import top_keys
from mixmae_mm.utils.launching import load_config

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / 'tests'))  # for reading golden files and skipping mmengine's overhead
Rows = Iterator[dict]
OFFICIAL = dict(reconstruction=1e-5, loss=1e-5, gradient_norms=1e-4)
"""Tolerances against the official code, as in the tests on a CPU; that of gradient norms is relative."""
ALIKE = {False: 1e-3, True: 0.5}
"""Relative tolerance of a parameter's gradient against the shipped attention: in float32, and in bfloat16, where it is
a rough check of what the tests compare in float32."""
MICRO = {
    'mixmae': 'mixmae/mixmae_mixmim-swin-micro',
    'mixedae': 'mixedae/mixedae_vit-micro-p8',
    'mae': 'mae/mae_vit-micro-p8',
}
"""Configs that are trained, without the end of their names."""


STUDY, FINALISTS = 'projects/studies/mixedae_screening.py', ('mae', 'no_segments', 'mixedae', 'naive')
"""Runs of a study whose options are tried in a larger encoder."""


@dataclass(frozen=True)
class Setup:
    """What is measured, and where; the defaults are for a GPU."""

    device: str = 'cuda'
    golden: Path | None = None
    data: Path | None = None
    batch: int = 256
    size: int = 224
    repeats: int = 5
    swin: str | dict = 'base'
    vit: str | dict = 'base'
    decoder: dict | None = None
    half: bool = True
    """Time steps under bfloat16 autocast."""
    peers: tuple[dict, dict] = ({}, {})
    compiling: dict = field(default_factory=dict)
    detector: str = 'detection/mask-rcnn_mixmim-swin-base_fpn_8xb8-amp-lsj-100e_coco.py'
    segmentor: str = 'segmentation/upernet_mixmim-swin-base_8xb2-amp-160k_ade20k-512x512.py'
    sides: tuple[int, int] = (1024, 512)
    pretraining: tuple[str | dict, int, int] = ('small', 112, 5)
    """Encoder, side of the images, epochs."""


SWIN = dict(embed_dims=8, depths=(1, 1, 2, 1), num_heads=(1, 1, 2, 2))
VIT = dict(embed_dims=32, depth=2, num_heads=2)
FULL = Setup()
TOY = Setup(
    device='cpu',
    batch=8,
    size=64,
    repeats=1,
    swin=SWIN,
    vit=VIT,
    decoder=dict(embed_dims=32, depth=1, num_heads=2),
    half=False,
    peers=(
        dict(arch=SWIN, dims=8, size=64, window_size=(8, 8, 4, 2)),
        dict(arch=dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64), dims=32, size=64),
    ),
    compiling=dict(backend='eager'),
    detector='detection/mask-rcnn_mixmim-swin-micro_fpn_1xb8-6e_coco-mini.py',
    segmentor='segmentation/upernet_mixmim-swin-micro_1xb16-20e_materials280-64px.py',
    sides=(64, 64),
    pretraining=(VIT, 64, 1),
)
"""Setup that runs the same code in seconds on a CPU."""


def parity(setup: Setup) -> Rows:
    """Compare with the official code's numbers, look for leaks between sources, and compare precisions."""
    yield dict(what='machine', text=machine(setup.device))
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    if setup.golden is None or not setup.golden.is_dir():
        yield dict(what='official numbers', skipped=f'no folder of golden files: --golden is {setup.golden}')
    else:
        for path in sorted(setup.golden.glob('m*_pretrain_*.pt')):
            yield official(path, setup.device)
    for half, grad in product((False, True), (True, False)):
        yield leak(setup, half, grad)
    for name, contender in (
        ('MixMAE', mixmae(setup.swin, setup.size, decoder=setup.decoder)),
        ('MixedAE', homologous(setup)),
    ):
        torch.manual_seed(0)
        model, images = contender.build().to(setup.device), random_images(setup)[:8]
        (single, _), (half, _) = (passes(contender, model, images, precision) for precision in (False, True))
        yield dict(
            what=f'{name}: loss in float32, bfloat16',
            float32=single,
            bfloat16=half,
            passed=abs(half / single - 1) < 0.01,
        )


def official(path: Path, device: str) -> dict:
    """Compute the numbers of a golden file, and compare with them."""
    from references import build_mae, build_pretrainer, mask_officially, mix_officially, our_name

    stored = torch.load(path, map_location=device, weights_only=True)
    plain = path.name.startswith('mae')
    model = (build_mae if plain else build_pretrainer)(stored['config']).to(device)
    model.load_state_dict({our_name(key): value for key, value in stored['state_dict'].items()}, strict=True)
    images = mask_officially(stored) if plain else mix_officially(stored['images'], stored['mask'])
    predictions = model.decode(images)
    loss = model.head.loss(predictions, images)['loss_reconstruction']
    loss.backward()
    norms = {name: parameter.grad.norm() for name, parameter in model.named_parameters() if parameter.requires_grad}
    found = dict(
        reconstruction=predictions.transpose(0, 1).flatten(0, 1) - stored['pred' if plain else 'reconstruction']
    )
    found['loss'] = loss - stored['loss']
    found['gradient_norms'] = torch.stack([
        (norms[our_name(key)] - value) / (value + 1e-4) for key, value in stored['grad_norms'].items()
    ])  # fmt: skip
    most = {name: difference.abs().max().item() for name, difference in found.items()}
    with torch.autocast(device.partition(':')[0], torch.bfloat16):
        half = model.loss(images)['loss_reconstruction'].item()
    return dict(
        what=path.stem, **most, bfloat16=half / loss.item() - 1, passed=all(most[x] <= OFFICIAL[x] for x in OFFICIAL)
    )


def leak(setup: Setup, half: bool, grad: bool) -> dict:
    """Change one of two sources, and look for changes in the features of the other."""
    encoder = mixmae(setup.swin, setup.size, decoder=setup.decoder).build().backbone.to(setup.device)
    sources = torch.randn(4, 2, 3, setup.size, setup.size, device=setup.device)
    changed = torch.stack([sources[:, 0], torch.randn_like(sources[:, 1])], dim=1)
    assignment = random_assignment(1, (setup.size // 32,) * 2, 2, device=setup.device)
    with torch.set_grad_enabled(grad), torch.autocast(setup.device, torch.bfloat16, enabled=half):
        one, other = (encoder(mix_images(x, assignment), assignment)[0] for x in (sources, changed))
    own, others = ((one - other).detach().abs()[..., assignment[0] == source].max().item() for source in (1, 0))
    what = f'no leak, {"bfloat16" if half else "float32"}, {"training" if grad else "inference"}'
    return dict(what=what, changed=own, leaked=others, passed=others == 0 < own)


def homologous(setup: Setup) -> Contender:
    """Make MixedAE as shipped."""
    return mixedae(4, True, setup.vit, setup.size, setup.decoder)


def random_images(setup: Setup) -> Tensor:
    """Draw a batch of noise."""
    return torch.randn(setup.batch, 3, setup.size, setup.size, device=setup.device)


def passes(contender: Contender, model: nn.Module, images: Tensor, half: bool) -> tuple[float, dict[str, Tensor]]:
    """Run forward and backward from a fixed seed; return the loss and the gradients."""
    torch.manual_seed(0)
    with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
        loss = contender.loss(model, images)
    loss.backward()
    gradients = {name: p.grad.float() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return loss.item(), gradients


def compare(contender: Contender, model: nn.Module, images: Tensor, half: bool, variant: Variant) -> dict:
    """Return the relative differences of a variant's loss and gradients, of the worst parameter, from the shipped."""
    loss, shipped = passes(contender, model, images, half)
    with variant(model):
        other, gradients = passes(contender, model, images, half)
    minimum = 1e-6 * max(gradient.norm() for gradient in shipped.values())
    differences = {name: (gradients[name] - x).norm() / (x.norm() + minimum) for name, x in shipped.items()}
    return dict(loss=abs(other / loss - 1), gradients=max(differences.values()).item())


def speed(setup: Setup, cases: dict[str, tuple[Contender, Variant | None, bool]]) -> Rows:
    """Time training steps of cases: a contender, a variant if any, and whether to compare the variant as it is timed.

    That means under bfloat16 autocast on the whole batch; other variants are compared in float32 on a few images.
    """
    peak = matrix_peak(setup.device, setup.half)
    yield dict(what='matrix product', operations_per_second=peak)
    for name, case in cases.items():
        yield tried(name, partial(time_case, setup, peak, *case))


def tried(what: str, call: Callable[[], dict]) -> dict:
    """Make a row of what a call returns, or of the error that it raises."""
    try:
        return dict(what=what, **call())
    except Exception as error:  # out of memory, a kernel that does not compile: the others are still tried
        return dict(what=what, error=f'{type(error).__name__}: {error}'[:500])
    finally:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def time_case(setup: Setup, peak: float, contender: Contender, variant: Variant | None, as_timed: bool) -> dict:
    """Time a case; MFU is the shipped model's operations per second over those of a large matrix product here."""
    torch.manual_seed(0)
    model, images = contender.build().to(setup.device), random_images(setup)
    with torch.no_grad():
        counted = operations(contender, model, images[: contender.few])
    found = {}
    if variant is not None:
        half = as_timed and setup.half
        found = compare(contender, model, images if as_timed else images[:8], half, variant)
        found = {f'{key}_differ': value for key, value in found.items()}
        if not found['gradients_differ'] <= ALIKE[half]:
            return dict(found, passed=False, error='not what the shipped attention computes, so it was not timed')
        found['passed'] = True
    with nullcontext() if variant is None else variant(model):
        call = partial(step, contender, model, images, setup.half)
        warm_up = [call(), call()]
        before, most = held_during(call, images.device)
        per_second = setup.batch / statistics.median(call() for _ in range(setup.repeats))
    row = dict(images_per_second=per_second, gigabytes=(most - before) / 1e9, mfu=counted * per_second / peak)
    return dict(row, first_step=warm_up[0], **found)


def mixmae_steps(setup: Setup) -> Rows:
    """Time MixMAE as shipped, with explicit logits and with segments sorted by length, and mmpretrain's MixMIM."""
    ours, theirs = mixmae(setup.swin, setup.size, decoder=setup.decoder), mixmim(**setup.peers[0])
    cases = {'MixMAE': (ours, None, False), 'MixMIM (mmpretrain)': (theirs, None, False)}
    for name, variant in dict(explicit=explicit, bucketed=bucketed).items():
        cases[f'MixMAE, {name}'] = ours, variant, False
    yield from speed(setup, cases)


def mixmae_flex(setup: Setup) -> Rows:
    """Time MixMAE with FlexAttention, which is compiled."""
    yield from speed(
        setup, {'MixMAE, FlexAttention': (mixmae(setup.swin, setup.size, decoder=setup.decoder), flexible, True)}
    )


def mixmae_compiled(setup: Setup) -> Rows:
    """Time MixMAE with its encoder compiled."""
    variant = partial(compiled, **setup.compiling)
    yield from speed(
        setup, {'MixMAE, compiled': (mixmae(setup.swin, setup.size, decoder=setup.decoder), variant, True)}
    )


def vit_steps(setup: Setup) -> Rows:
    """Compare and time `topk` and bisection; MixedAE and MAE as shipped, explicit and compiled; mmpretrain's MAE."""
    logits = torch.randn(setup.batch // 4, 12, 196, 196, device=setup.device)
    both = {'MixedAE': homologous(setup), 'MAE': mixedae(1, False, setup.vit, setup.size, setup.decoder)}
    cases = {name: (contender, None, False) for name, contender in both.items()}
    cases['MixedAE, keys by bisection'] = both['MixedAE'], by_threshold, False
    cases['MAE (mmpretrain)'] = mae(**setup.peers[1]), None, False
    variants = dict(explicit=explicit, compiled=partial(compiled, **setup.compiling))
    for (kind, variant), (name, contender) in product(variants.items(), both.items()):
        cases[f'{name}, {kind}'] = contender, variant, kind == 'compiled'
    yield same_keys(logits)
    yield from speed(setup, cases)


def same_keys(logits: Tensor) -> dict:
    """Compare the keys that are chosen for MixedAE by `topk` and by bisection, and time both."""
    number = logits.shape[-1] // 4
    bisect = bisect_keys_fused if logits.is_cuda else bisect_keys
    same = torch.equal(top_keys(logits, number), bisect(logits, number))
    ways = dict(topk=partial(top_keys, logits, number), bisection=partial(bisect, logits, number))
    return dict(what='keys, ms', **medians(ways, 3), passed=same)


def dense(setup: Setup) -> Rows:
    """Train a detector and a segmentor for three steps on made-up images, in their configs' precision."""
    missing = [name for name in ('mmdet', 'mmseg') if importlib.util.find_spec(name) is None]
    if missing:
        yield dict(what='detection, segmentation', skipped=f'not installed: {", ".join(missing)}')
        return
    yield dict(what='ops', text="torchvision's" if isinstance(sys.modules.get('mmcv._ext'), Ops) else "mmcv's")
    for name, side in zip((setup.detector, setup.segmentor), setup.sides, strict=True):
        yield tried(f'{Path(name).stem}, {side} px', partial(three_steps, name, side, setup.device))


def three_steps(name: str, side: int, device: str) -> dict:
    """Train a config's model for three steps on one made-up batch."""
    config = load_config(ROOT / 'configs' / name)
    model, optimizer = build(config, device)
    model = revert_sync_batchnorm(model).to(device)
    batch = (made_up_boxes if 'detection' in name else made_up_masks)(config.train_dataloader.batch_size, side)
    precision = config.optim_wrapper.get('dtype', 'float32')
    scaler = torch.amp.GradScaler(device, init_scale=2.0**7, enabled=precision == 'float16')
    losses, seconds = [], []
    weight = next(x for x in model.backbone.parameters() if x.requires_grad)  # its gradient went through all others
    before = weight.detach().clone()
    for _ in range(3):
        start = time.perf_counter()
        with torch.autocast(device, getattr(torch, precision), enabled=precision != 'float32'):
            named = model(**model.data_preprocessor(dict(batch), True), mode='loss')
        loss = model.parse_losses(named)[0]
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
    finite = bool(np.isfinite(losses).all()) and scaler.get_scale() >= 2.0**7 * scaler.is_enabled()
    return dict(losses=losses, seconds=seconds, precision=precision, passed=finite and not weight.equal(before))


def made_up_boxes(batch: int, side: int) -> dict:
    """Make random images with boxes and masks."""
    from mmdet.testing import demo_mm_inputs

    return demo_mm_inputs(batch, [(3, side, side)] * batch, num_items=[8] * batch, num_classes=9, with_mask=True)


def made_up_masks(batch: int, side: int) -> dict:
    """Make random images with pixel labels."""
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    inputs = torch.randint(0, 256, (batch, 3, side, side), dtype=torch.uint8)
    samples = [SegDataSample(metainfo=dict(img_shape=(side, side))) for _ in inputs]
    for sample in samples:
        sample.gt_sem_seg = PixelData(data=torch.randint(0, 2, (1, side, side)))
    return dict(inputs=list(inputs), data_samples=samples)


def train(method: str, data: Path, folder: str, hook: Hook | None = None, **settings: object) -> Runner:
    """Train a micro config in a new folder below `folder`, on a GPU under bfloat16 autocast."""
    from quick_runs import make_runs_quick

    make_runs_quick()
    config = load_config(ROOT / 'configs' / f'{MICRO[method]}_1xb64-coslr-40e_materials-64px.py')
    options = {'train_dataloader.dataset.data_root': str(data), 'log_level': 'ERROR'}
    options |= {'train_dataloader.num_workers': 0, 'train_dataloader.persistent_workers': False}
    options['param_scheduler'] = [dict(type='CosineAnnealingLR', eta_min=0.0, convert_to_iter_based=True)]
    if torch.cuda.is_available():
        options |= {'optim_wrapper.type': 'AmpOptimWrapper', 'optim_wrapper.dtype': 'bfloat16'}
    config.merge_from_dict(options | settings)
    config.work_dir = tempfile.mkdtemp(prefix=method, dir=folder)
    for transform in config.train_dataloader.dataset.pipeline:
        if 'scale' in transform:
            transform.scale = config.model.backbone.img_size
    runner = Runner.from_cfg(Config(config.to_dict() | dict(experiment_name=Path(config.work_dir).name)))
    if hook is not None:
        runner.register_hook(hook, 'LOWEST')
    runner.train()
    return runner


def draw_images(folder: Path, number: int = 32) -> Path:
    """Write images of noise into a new folder."""
    folder.mkdir()
    for index, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (number, 8, 8, 3), np.uint8)):
        Image.fromarray(pixels).resize((72, 72)).save(folder / f'{index}.png')
    return folder


TWO_EPOCHS = {'train_cfg.max_epochs': 2, 'train_dataloader.batch_size': 8, 'default_hooks.checkpoint.interval': 1}


def resume(setup: Setup) -> Rows:
    """Train twice without interruption and once from the halfway checkpoint; count the tensors that end up different.

    If the two uninterrupted runs differ, the kernels are not deterministic, and no resumed run can be equal.
    """
    os.environ['CUBLAS_WORKSPACE_CONFIG'] = ':4096:8'  # required by deterministic algorithms
    with tempfile.TemporaryDirectory() as folder:
        data = draw_images(Path(folder, 'images'))
        for deterministic, method in product((False, True), ('mixmae', 'mixedae')):
            kind = 'deterministic algorithms' if deterministic else 'as it is'
            yield tried(f'{method}, {kind}', partial(resume_one, method, data, folder, deterministic))


def resume_one(method: str, data: Path, folder: str, deterministic: bool) -> dict:
    """Count the tensors of weights and optimizer that differ between runs."""
    settings = TWO_EPOCHS | {'randomness.deterministic': deterministic}
    straight, repeated = (train(method, data, folder, **settings) for _ in range(2))
    half_way = str(Path(straight.work_dir, 'epoch_1.pth'))
    resumed = train(method, data, folder, resume=True, load_from=half_way, **settings)
    one, *others = (
        [
            *run.model.state_dict().values(),
            *(x for state in run.optim_wrapper.optimizer.state.values() for x in state.values()),
        ]
        for run in (straight, repeated, resumed)
    )
    again, after = (sum(not torch.equal(a, b) for a, b in zip(one, other, strict=True)) for other in others)
    return dict(repeated_differ=again, resumed_differ=after, of=len(one), passed=after == 0)


class Overflow(Hook):
    """Hook that makes the predictions of one iteration infinite, and keeps the weights after each."""

    def __init__(self, at: int) -> None:
        self.at, self.weights = at, []

    def before_train(self, runner: Runner) -> None:
        """Make the decoder return infinite values in that iteration."""
        runner.model.neck.register_forward_hook(
            lambda neck, inputs, output: output * float('inf') if runner.iter == self.at else output
        )

    def after_train_iter(self, runner: Runner, *args: object, **others: object) -> None:
        """Keep the weights."""
        self.weights.append(nn.utils.parameters_to_vector(runner.model.parameters()).detach().clone())


def nan_guard(setup: Setup) -> Rows:
    """Train with one step that overflows: it must be skipped and stored, and later steps must be made."""
    with tempfile.TemporaryDirectory() as folder:
        data, at = draw_images(Path(folder, 'images')), 5
        for method in ('mixmae', 'mixedae'):
            hook = Overflow(at)
            runner = train(method, data, folder, hook, **TWO_EPOCHS)
            kept = torch.equal(hook.weights[at], hook.weights[at - 1])
            stepped = not torch.equal(hook.weights[at + 1], hook.weights[at])
            stored = Path(runner.work_dir, 'nonfinite', f'iter_{at}', 'rank_0.pth').exists()
            finite = bool(hook.weights[-1].isfinite().all())
            found = dict(skipped_step=kept, stored=stored, later_steps=stepped, finite=finite)
            yield dict(what=method, **found, passed=all(found.values()))


def pretraining(setup: Setup) -> Rows:
    """Pre-train the finalists of a study on photos with classes, seed by seed, until the time is over."""
    if setup.data is None:
        yield dict(what='photos', skipped='no folder of photos: --data is not given')
        return
    arch, side, epochs = setup.pretraining
    dims = (VIT_ARCHS[arch] if isinstance(arch, str) else arch)['embed_dims']
    settings = {
        'model.backbone.arch': arch,
        'model.backbone.img_size': side,
        'model.neck.in_channels': dims,
        'model.neck.grid_size': side // 8,
        'train_dataloader.batch_size': 128 if setup.device == 'cuda' else 20,
        'train_dataloader.num_workers': 12 if setup.device == 'cuda' else 0,
        'default_hooks.online.data_root': str(setup.data),
        'default_hooks.online.interval': epochs,
        'train_cfg.max_epochs': epochs,
        'optim_wrapper.optimizer.lr': 5e-4,  # untuned
    }
    runs = Config.fromfile(ROOT / STUDY).runs
    with tempfile.TemporaryDirectory() as folder:
        for seed, name in product(range(10 if setup.device == 'cuda' else 1), FINALISTS):
            start, run = time.perf_counter(), runs[name]
            method = Path(run.config).name.partition('_')[0]
            options = settings | run.get('options', {}) | {'randomness.seed': seed}
            runner = train(method, setup.data / 'train', folder, **options)
            loss, knn = (runner.message_hub.get_scalar(key).current() for key in ('train/loss', 'online/knn_top1'))
            row = dict(what=f'{name}, seed {seed}', seconds=time.perf_counter() - start, epochs=epochs)
            yield dict(row, loss=float(loss), knn=float(knn))


def prepare(name: str) -> None:
    """Import what a part alone needs, while the part before it runs."""
    if name == 'dense':
        with suppress(ImportError):
            importlib.import_module('mmdet.models')
            importlib.import_module('mmseg.models')


def run(name: str, setup: Setup) -> Rows:
    """Run a part; on a CPU, use the code paths of a GPU."""
    with as_on_gpu() if setup.device == 'cpu' else nullcontext():
        yield from PARTS[name](setup)


PARTS = {
    'parity': parity,
    'mixmae': mixmae_steps,
    'mixmae-flex': mixmae_flex,
    'mixmae-compiled': mixmae_compiled,
    'vit': vit_steps,
    'dense': dense,
    'resume': resume,
    'nan': nan_guard,
    'pretraining': pretraining,
}
"""Parts by their names in the plan of `gpu.py`."""
