"""Which precision a run trains in, and mixed precision on a CPU."""

import pytest
import torch
from micro_training import finish, make_config, tool
from mmengine.config import Config
from mmengine.device import utils
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn
from training_toys import TRAINED, last_checkpoint, trained_alike

from mixmae_mm.engine.optimizers import precision
from mixmae_mm.engine.optimizers.precision import CpuAmpOptimWrapper, multiplies_bfloat16, set_precision
from mixmae_mm.utils.launching import has_accelerator

DETECTOR = dict(type='mmdet.MaskRCNN', rpn_head=dict(), roi_head=dict())
OURS = 'mixmae_mm.CpuAmpOptimWrapper'
UNSCALED = dict(type='AmpOptimWrapper', dtype='bfloat16', loss_scale=dict(enabled=False))
CPUS = {
    'Zen 4': ('flags\t\t: fpu avx512_bf16 avx512_vnni', True),
    'Sapphire Rapids': ('flags\t\t: fpu amx_bf16 amx_tile', True),
    'Graviton 3': ('Features\t: fp asimd bf16 i8mm', True),
    'Skylake': ('flags\t\t: fpu avx2 avx512f', False),
    'misleading': ('flags\t\t: fpu\nmodel name\t: no avx512_bf16 here', False),
}


@pytest.fixture
def wrapper_on(monkeypatch):
    def wrapper_after(device, amp, model=None, strategy=None, capability=(9, 0), **wrapper):
        accelerator, multiplies = device == 'GPU', device == 'modern CPU'
        monkeypatch.setattr(precision, 'has_accelerator', lambda: accelerator)
        monkeypatch.setattr(precision, 'multiplies_bfloat16', lambda: multiplies)
        monkeypatch.setattr(torch.cuda, 'is_available', lambda: accelerator)
        monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda: capability)
        config = Config(dict(optim_wrapper=wrapper, model=model or dict(type='MixMAE'), strategy=strategy))
        set_precision(config, amp)
        return config.optim_wrapper.to_dict()

    return wrapper_after


@pytest.mark.parametrize(
    ('capability', 'amp'), [((9, 0), UNSCALED), ((7, 5), dict(type='AmpOptimWrapper', dtype='float16'))]
)
def test_amp_takes_the_best_type_of_the_gpu(wrapper_on, capability, amp):
    assert wrapper_on('GPU', True, capability=capability, type='OptimWrapper') == amp
    assert wrapper_on('GPU', True, capability=capability) == amp
    assert wrapper_on('GPU', True, type='OptimWrapper', dtype='float16')['dtype'] == 'float16'


def test_on_a_gpu_a_config_gets_what_it_asks_for(wrapper_on):
    for asked in (dict(type='AmpOptimWrapper', dtype='float16', loss_scale='dynamic'), dict(type='OptimWrapper')):
        assert wrapper_on('GPU', False, **asked) == asked
    assert wrapper_on('GPU', False) == {}


@pytest.mark.parametrize('dtype', ['bfloat16', torch.bfloat16])
@pytest.mark.parametrize('scale', [dict(), dict(loss_scale='dynamic'), dict(loss_scale=512.0)])
@pytest.mark.parametrize('amp', [False, True])
@pytest.mark.parametrize('strategy', [None, dict(type='mixmae_mm.ShardingStrategy'), dict(type='DeepSpeedStrategy')])
def test_in_bfloat16_no_loss_is_scaled(wrapper_on, dtype, scale, amp, strategy):
    """Its range is that of float32; a scaler would cost a pass and hide bad gradients from the guard."""
    asked = dict(type='AmpOptimWrapper', dtype=dtype)
    assert wrapper_on('GPU', amp, strategy=strategy, **asked, **scale) == dict(asked, loss_scale=dict(enabled=False))


def test_detectors_on_a_gpu_train_in_float16(wrapper_on):
    assert wrapper_on('GPU', True, model=DETECTOR) == dict(type='AmpOptimWrapper', dtype='float16')
    for amp, dtype in ((True, 'bfloat16'), (False, torch.bfloat16)):
        with pytest.raises(ValueError, match='with a roi_head cannot train in bfloat16.*optim_wrapper.dtype=float16'):
            wrapper_on('GPU', amp, model=DETECTOR, type='AmpOptimWrapper', dtype=dtype)
    assert wrapper_on('GPU', False, model=DETECTOR, type='OptimWrapper') == dict(type='OptimWrapper')


@pytest.mark.parametrize('device', ['mps', 'dipu'])
def test_where_mmengine_has_no_mixed_precision_training_is_single(monkeypatch, capsys, device):
    """Apple's GPUs, for instance: its wrapper, built there, ends in an AssertionError."""
    monkeypatch.setattr(utils, 'DEVICE', device)
    for asked in (dict(type='AmpOptimWrapper', dtype='bfloat16'), dict(type='AmpOptimWrapper', loss_scale='dynamic')):
        config = Config(dict(optim_wrapper=dict(optimizer=dict(type='SGD'), **asked), model=DETECTOR))
        set_precision(config, amp=False)
        assert config.optim_wrapper.to_dict() == dict(type='OptimWrapper', optimizer=dict(type='SGD'))
        assert device in capsys.readouterr().out
        with pytest.raises(ValueError, match=f'--amp cannot be had here: the device is {device}, and .*; leave it out'):
            set_precision(Config(dict(optim_wrapper=asked)), amp=True)
    single = dict(type='OptimWrapper', optimizer=dict(type='SGD'))
    set_precision(config := Config(dict(optim_wrapper=single)), amp=False)
    assert config.optim_wrapper.to_dict() == single


@pytest.mark.parametrize('device', ['npu', 'mlu', 'musa'])
def test_other_accelerators_get_what_mmengine_has_for_them(monkeypatch, device):
    monkeypatch.setattr(utils, 'DEVICE', device)
    asked = dict(type='AmpOptimWrapper', dtype='float16', loss_scale='dynamic')
    set_precision(config := Config(dict(optim_wrapper=asked)), amp=False)
    assert config.optim_wrapper.to_dict() == asked
    set_precision(config := Config(dict(optim_wrapper=dict(type='OptimWrapper'))), amp=True)
    assert config.optim_wrapper.to_dict() == dict(type='AmpOptimWrapper', dtype='float16')


@pytest.mark.parametrize('amp', [False, True])
def test_a_modern_cpu_computes_in_bfloat16(wrapper_on, capsys, amp):
    asked = dict(type='AmpOptimWrapper', dtype='bfloat16', loss_scale='dynamic', optimizer=dict(type='SGD'))
    assert wrapper_on('modern CPU', amp, **asked) == dict(type=OURS, optimizer=dict(type='SGD'))
    assert 'mixed precision in bfloat16 on the CPU' in capsys.readouterr().out


def test_amp_on_a_modern_cpu_wherever_nothing_speaks_against_it(wrapper_on, capsys):
    assert wrapper_on('modern CPU', True, type='OptimWrapper')['type'] == OURS
    assert wrapper_on('modern CPU', True)['type'] == OURS
    assert wrapper_on('modern CPU', True, type='AmpOptimWrapper', dtype='float16') == dict(type=OURS)
    capsys.readouterr()
    assert wrapper_on('modern CPU', False, type='OptimWrapper') == dict(type='OptimWrapper')
    assert not capsys.readouterr().out


@pytest.mark.parametrize(
    ('device', 'settings', 'hindrance'),
    [
        ('old CPU', dict(dtype='bfloat16'), 'this CPU does not multiply bfloat16'),
        ('modern CPU', dict(dtype='bfloat16', model=DETECTOR), "mmcv's RoIAlign does not know the bfloat16 of CPUs"),
        ('modern CPU', dict(dtype='bfloat16', strategy=dict(type='FSDPStrategy')), 'the strategy FSDPStrategy wants'),
        ('modern CPU', dict(dtype='float16'), 'CPUs do not multiply its float16 (--amp trains in bfloat16)'),
        ('modern CPU', dict(dtype=None), 'CPUs do not multiply its float16'),
        ('modern CPU', dict(), 'CPUs do not multiply its float16'),
        ('modern CPU', dict(dtype=torch.float32), 'CPUs do not multiply its torch.float32'),
    ],
)
def test_single_precision_where_mixed_cannot_be_had(wrapper_on, capsys, device, settings, hindrance):
    asked = dict(type='AmpOptimWrapper', use_fsdp=False, optimizer=dict(type='SGD')) | settings
    assert wrapper_on(device, False, **asked) == dict(type='OptimWrapper', optimizer=dict(type='SGD'))
    told = 'no GPU here: training in single precision in place of the mixed precision of this config, as '
    assert told + hindrance in capsys.readouterr().out
    if settings.get('dtype') == 'bfloat16':
        with pytest.raises(ValueError, match=f'--amp cannot be had here: no GPU, and {hindrance}.*; leave it out'):
            wrapper_on(device, True, **asked)


@pytest.mark.parametrize('amp', [False, True])
def test_what_a_run_on_a_cpu_wrote_out_asks_for_bfloat16(wrapper_on, amp):
    """A config in a work_dir is trained again: there, on a GPU, and on a CPU that cannot."""
    assert wrapper_on('modern CPU', amp, type=OURS) == dict(type=OURS)
    assert wrapper_on('modern CPU', amp, type=CpuAmpOptimWrapper) == dict(type=OURS)
    assert wrapper_on('GPU', amp, type=OURS) == UNSCALED
    assert wrapper_on('old CPU', False, type=OURS) == dict(type='OptimWrapper')


def test_only_roi_heads_are_kept_from_bfloat16(wrapper_on):
    asked = dict(type='AmpOptimWrapper', dtype='bfloat16')
    for model in (dict(bbox_head=dict()), dict(rpn_head=dict(), roi_head=None)):
        assert wrapper_on('GPU', False, model=model, **asked) == UNSCALED
    for model in (dict(type='mmdet.SoftTeacher', detector=DETECTOR), dict(parts=[dict(one=DETECTOR)])):
        with pytest.raises(ValueError, match='roi_head cannot train in bfloat16'):
            wrapper_on('GPU', False, model=model, **asked)


@pytest.mark.parametrize('accelerator', [False, True])
def test_a_config_without_optimizer_wrapper(monkeypatch, accelerator):
    monkeypatch.setattr(precision, 'has_accelerator', lambda: accelerator)
    for lacking in (dict(), dict(optim_wrapper=None)):
        set_precision(Config(lacking), False)
        with pytest.raises(ValueError, match='^--amp needs an optim_wrapper in the config, which has none$'):
            set_precision(Config(lacking), True)


def test_amp_with_a_wrapper_that_cannot(wrapper_on):
    with pytest.raises(ValueError, match='not with the DeepSpeedOptimWrapper of this config'):
        wrapper_on('GPU', True, type='DeepSpeedOptimWrapper')


@pytest.mark.parametrize('cpu', CPUS)
def test_what_a_cpu_says_that_it_multiplies(tmp_path, cpu):
    text, answer = CPUS[cpu]
    (tmp_path / 'cpuinfo').write_text(f'processor\t: 0\n{text}\n')
    assert multiplies_bfloat16(str(tmp_path / 'cpuinfo')) == answer
    assert not multiplies_bfloat16(str(tmp_path / 'nothing'))


def test_a_step_on_a_cpu_is_one_under_autocast():
    """Weights, gradients and moments are float32; what linear layers give is bfloat16."""
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
    assert torch.allclose(updated[0], updated[2], atol=0.02)


@pytest.mark.slow
@pytest.mark.skipif(not multiplies_bfloat16() or has_accelerator(), reason='needs no GPU and a CPU with bfloat16')
def test_a_run_on_a_cpu_resumes_and_leaves_float32(tmp_path):
    """Killed in its second epoch and resumed, it ends with the same weights; they are not those of single precision."""
    config = make_config(tmp_path)
    log, _ = finish(tool('train.py', config, '--amp', '--work-dir', tmp_path / 'straight'))
    assert 'no GPU here: mixed precision in bfloat16 on the CPU' in log
    here = ['--amp', '--work-dir', tmp_path / 'resumed']
    finish(tool('train.py', config, *here, '--cfg-options', 'custom_hooks.0.after=6'), status=-9)
    finish(tool('train.py', config, *here, '--resume'))
    finish(tool('train.py', config, '--work-dir', tmp_path / 'single'))
    straight, resumed, single = (last_checkpoint(tmp_path / name) for name in ('straight', 'resumed', 'single'))
    assert trained_alike(straight, resumed) == dict.fromkeys(TRAINED, True)
    assert not trained_alike(straight, single)['state_dict']
    for name, value in straight['state_dict'].items():
        assert value.dtype == single['state_dict'][name].dtype
        assert torch.allclose(value, single['state_dict'][name], atol=0.02), name
