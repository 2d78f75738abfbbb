"""Which precision a run trains in, and mixed precision on a CPU."""

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

from mixmae_mm.engine.optimizers import precision
from mixmae_mm.engine.optimizers.precision import CpuAmpOptimWrapper, multiplies_bfloat16, set_precision

DETECTOR = dict(type='mmdet.MaskRCNN', rpn_head=dict(), roi_head=dict())
AMP, FP32 = dict(type='AmpOptimWrapper'), dict(type='OptimWrapper')
OURS = dict(type='mixmae_mm.CpuAmpOptimWrapper')
BF16, FP16 = AMP | dict(dtype='bfloat16'), AMP | dict(dtype='float16')
UNSCALED = dict(loss_scale=dict(enabled=False))
SHARDING = dict(type='mixmae_mm.ShardingStrategy')


@pytest.fixture
def wrapper_on(monkeypatch):
    def wrapper_after(device, amp, wrapper, model=None, strategy=None):
        """Return the optimizer wrapper on a device: mmengine's name, 'old cuda' or 'old cpu'."""
        old = device.startswith('old ')
        monkeypatch.setattr(precision, 'get_device', lambda: device.removeprefix('old '))
        monkeypatch.setattr(precision, 'multiplies_bfloat16', lambda: not old)
        monkeypatch.setattr(torch.cuda, 'is_available', lambda: 'cuda' in device)
        monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda: (7, 5) if old else (9, 0))
        config = Config(dict(optim_wrapper=dict(wrapper), model=model or dict(type='MixMAE'), strategy=strategy))
        set_precision(config, amp)
        return config.optim_wrapper.to_dict()

    return wrapper_after


@pytest.mark.parametrize(
    ('device', 'amp', 'asked', 'settings', 'found'),
    [
        # a GPU: --amp takes its best type, a config gets what it asks for, in bfloat16 no loss is scaled
        ('cuda', True, {}, {}, BF16 | UNSCALED),
        ('cuda', True, FP32, dict(strategy=SHARDING), BF16 | UNSCALED),
        ('old cuda', True, FP32, {}, FP16),
        ('cuda', True, FP16, {}, FP16),
        ('cuda', False, FP16 | dict(loss_scale='dynamic'), {}, FP16 | dict(loss_scale='dynamic')),
        ('cuda', False, {}, {}, {}),
        ('cuda', False, BF16 | dict(loss_scale=512.0), {}, BF16 | UNSCALED),
        ('cuda', False, AMP | dict(dtype=torch.bfloat16), {}, AMP | dict(dtype=torch.bfloat16) | UNSCALED),
        ('cuda', True, {}, dict(model=DETECTOR), FP16),
        ('cuda', False, BF16, dict(model=dict(rpn_head=dict(), roi_head=None)), BF16 | UNSCALED),
        ('npu', True, FP32, {}, FP16),
        ('cuda', False, OURS, {}, BF16 | UNSCALED),  # written out by a run on a CPU
        # a CPU with bfloat16
        ('cpu', False, BF16 | dict(loss_scale='dynamic', optimizer={}), {}, OURS | dict(optimizer={})),
        ('cpu', True, FP32, {}, OURS),
        ('cpu', True, FP16, {}, OURS),
        # where mixed precision cannot be
        ('old cpu', False, BF16, {}, FP32),
        ('cpu', False, FP16, {}, FP32),
        ('cpu', False, AMP, {}, FP32),
        ('cpu', False, BF16, dict(model=DETECTOR), FP32),
        ('cpu', False, BF16, dict(strategy=SHARDING), FP32),
        ('mps', False, BF16 | dict(optimizer={}), {}, FP32 | dict(optimizer={})),
    ],
)
def test_the_wrapper_fits_the_device(wrapper_on, capsys, device, amp, asked, settings, found):
    assert wrapper_on(device, amp, asked, **settings) == found
    falls_back = found.get('type') == 'OptimWrapper' and asked.get('type') == 'AmpOptimWrapper'
    assert ('training in single precision here: the device is' in capsys.readouterr().out) == falls_back


@pytest.mark.parametrize(
    ('device', 'asked', 'settings', 'said'),
    [
        ('cpu', FP32, dict(model=DETECTOR), '--amp is unavailable here: the device is cpu'),
        ('mps', FP32, {}, '--amp is unavailable here: the device is mps; .*; leave it out'),
        ('cuda', dict(type='ApexOptimWrapper'), {}, '--amp works .* not with the ApexOptimWrapper'),
        ('cuda', BF16, dict(model=DETECTOR), 'roi_head cannot train in bfloat16.*optim_wrapper.dtype=float16'),
        ('cuda', BF16, dict(model=dict(parts=[dict(one=DETECTOR)])), 'roi_head cannot train in bfloat16'),
    ],
)
def test_what_cannot_be_is_refused(wrapper_on, device, asked, settings, said):
    with pytest.raises(ValueError, match=said):
        wrapper_on(device, True, asked, **settings)


def test_a_config_without_optimizer_wrapper():
    set_precision(Config(), False)
    with pytest.raises(ValueError, match='--amp needs an optim_wrapper'):
        set_precision(Config(), True)


@pytest.mark.parametrize(
    ('text', 'answer'),
    [
        ('flags\t\t: fpu avx512_bf16 avx512_vnni', True),
        ('Features\t: fp asimd bf16 i8mm', True),
        ('flags\t\t: fpu avx2 avx512f\nmodel name\t: no avx512_bf16 here', False),
    ],
)
def test_what_a_cpu_says_that_it_multiplies(tmp_path, text, answer):
    (tmp_path / 'cpuinfo').write_text(f'processor\t: 0\n{text}\n')
    assert multiplies_bfloat16(str(tmp_path / 'cpuinfo')) == answer
    assert not multiplies_bfloat16(str(tmp_path / 'nothing'))


def test_a_step_on_a_cpu_is_one_under_autocast():
    """Weights and moments are float32; what linear layers give is bfloat16."""
    seen, updated = [], []
    for kind in (CpuAmpOptimWrapper, None, OptimWrapper):
        torch.manual_seed(0)
        model = nn.Linear(16, 4)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
        images, wrapper = torch.randn(8, 16), kind and OPTIM_WRAPPERS.build(dict(type=kind, optimizer=optimizer))
        for _ in range(3):
            with wrapper.optim_context(model) if wrapper else torch.autocast('cpu', torch.bfloat16):
                output = model(images)
                loss = output.float().square().mean()
            if wrapper:
                wrapper.update_params(loss)
            else:
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
        seen.append(output.dtype)
        updated.append(model.weight.detach())
        assert {state.dtype for moments in optimizer.state.values() for state in moments.values()} == {torch.float32}
    assert seen == [torch.bfloat16, torch.bfloat16, torch.float32]
    assert torch.equal(updated[0], updated[1])
    assert not torch.equal(updated[0], updated[2])
