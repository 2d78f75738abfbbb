"""tools/train.py, tools/test.py and what they share: command line, processes, errors."""

import os
import pickle
import shutil
import sys
import uuid
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, init_default_scope
from PIL import Image
from tool_loading import TOOLS, load_tool

from mixmae_mm.utils import errors, launching

FINETUNING = TOOLS.parent / 'configs/classification/mixmim-swin-micro-scratch_1xb64-coslr-10e_materials-64px.py'


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in ('RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / 'some_config.py'
    path.write_text('a = dict(b=1)\n')
    return path


def arguments(monkeypatch, tool, *words):
    monkeypatch.setattr(sys, 'argv', [tool, *map(str, words)])
    return load_tool(tool).parse_args()


def main_fails(monkeypatch, tool, *words):
    """Run a tool that must give up; its message without the line on the traceback."""
    monkeypatch.setattr(sys, 'argv', [tool, *map(str, words)])
    with pytest.raises(SystemExit) as stopped:
        load_tool(tool).main()
    message, where = str(stopped.value.code).rsplit('\n', 1)
    assert where.startswith('(traceback: ')
    return message


def test_command_line_goes_over_the_config(monkeypatch, config_file):
    options = ['--cfg-options', 'a.b=2', 'custom_hooks=[1,2]', '--cfg-options', 'load_from=x', '--launcher', 'slurm']
    config = launching.read_config(arguments(monkeypatch, 'train.py', config_file, *options))
    assert (config.a.b, config.custom_hooks, config.load_from, config.launcher) == (2, [1, 2], 'x', 'slurm')
    for in_config, given, taken in (
        ('', [], './work_dirs/some_config'),
        ('here', [], 'here'),
        ('here', ['--work-dir', 'there'], 'there'),
    ):
        config_file.write_text(f'work_dir = {in_config!r}\n' if in_config else '')
        assert launching.read_config(arguments(monkeypatch, 'train.py', config_file, *given)).work_dir == taken
    for spelling in ('--local_rank', '--local-rank'):
        monkeypatch.setenv('LOCAL_RANK', '0')
        monkeypatch.delenv('LOCAL_RANK')
        launching.read_config(arguments(monkeypatch, 'train.py', config_file, f'{spelling}=3'))
        assert os.environ['LOCAL_RANK'] == '3'


def test_words_that_cannot_be(monkeypatch, config_file, capsys):
    with pytest.raises(SystemExit) as stopped:
        arguments(monkeypatch, 'train.py', config_file, '--cfg-options', 'lr')
    assert stopped.value.code == 2
    assert '--cfg-options takes key=value pairs, got lr' in capsys.readouterr().err
    message = main_fails(monkeypatch, 'train.py', '/no/such.py')
    assert message == f'error: there is no config file /no/such.py (looked for in {Path.cwd()})'


@pytest.mark.parametrize(('launcher', 'script'), [('pytorch', 'dist'), ('mpi', 'dist'), ('slurm', 'slurm')])
def test_a_launcher_that_did_not_start_the_process(monkeypatch, config_file, launcher, script):
    message = main_fails(monkeypatch, 'train.py', config_file, '--launcher', launcher)
    assert ', '.join(launching.VARIABLES[launcher]) + ' is not set: this process was not started by it' in message
    assert f'Start with tools/{script}_train.sh' in message


def test_a_slurm_process_on_one_machine_gets_torchs_variables(monkeypatch):
    for name, value in zip(launching.VARIABLES['slurm'], '527', strict=True):
        monkeypatch.setenv(name, value)
    for name in ('RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'):
        monkeypatch.setenv(name, 'to be undone')
        monkeypatch.delenv(name)
    assert launching._read_variables('slurm') == 2
    found = [os.environ[name] for name in ('RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT')]
    assert found == ['5', '2', '7', '127.0.0.1', '29500']


def test_torchruns_variables_are_left_alone_within_a_slurm_job(monkeypatch):
    """Where scontrol may be missing, as in containers."""
    values = {'RANK': '5', 'LOCAL_RANK': '2', 'WORLD_SIZE': '7', 'MASTER_ADDR': 'node3', 'MASTER_PORT': '1234'}
    for name, value in (values | {'SLURM_JOB_NODELIST': 'node[3-4]', 'SLURM_JOB_NUM_NODES': '2', 'PATH': ''}).items():
        monkeypatch.setenv(name, value)
    assert launching._read_variables('pytorch') == 2
    assert {name: os.environ[name] for name in values} == values


@pytest.mark.parametrize('launcher', launching.VARIABLES)
@pytest.mark.parametrize('rank', '01')
def test_only_rank_0_prints_before_the_log_is_open(launcher, rank, monkeypatch, capsys):
    """RANK goes first, because torchrun can run within Slurm."""
    for other, (name, *_) in launching.VARIABLES.items():
        monkeypatch.setenv(name, rank if other == launcher else '3')
        if [*launching.VARIABLES].index(other) < [*launching.VARIABLES].index(launcher):
            monkeypatch.delenv(name)
    launching.say('a message')
    assert ('a message' in capsys.readouterr().out) == (rank == '0')


def resumed(work_dir, resume, load_from=None, **settings):
    config = Config(dict(work_dir=str(work_dir), load_from=load_from, resume=False, **settings))
    load_tool('train.py').set_resume(config, resume)
    return config.resume, config.load_from


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / 'work' / 'epoch_3.pth'
    path.parent.mkdir()
    torch.save(dict(state_dict={}), path)
    return path


def test_resume_takes_the_last_checkpoint_or_the_one_named(checkpoint, capsys):
    folder = checkpoint.parent
    (folder / 'last_checkpoint').write_text(str(checkpoint))
    assert resumed(folder, 'auto') == resumed(folder, str(checkpoint), '/other.pth') == (True, str(checkpoint))
    moved = folder.rename(folder.with_name('moved'))
    assert resumed(moved, 'auto') == (True, str(moved / 'epoch_3.pth'))
    path = str(moved / 'epoch_3.pth')
    assert resumed(folder, 'auto', load_from=path) == (False, path)
    assert f'--resume: no checkpoint in {folder} yet, starting from scratch' in capsys.readouterr().out


@pytest.mark.parametrize('pointer', [None, '', '/gone/epoch_9.pth'])
def test_resume_without_the_pointer_takes_the_highest_number(checkpoint, pointer):
    folder = checkpoint.parent
    torch.save(dict(state_dict={}), folder / 'epoch_12.pth')
    for other in ('best_accuracy.pth', 'epoch_13.pth.unfinished', 'epoch_latest.pth'):
        (folder / other).write_bytes(b'')
    if pointer is not None:
        (folder / 'last_checkpoint').write_text(pointer)
    assert resumed(folder, 'auto') == (True, str(folder / 'epoch_12.pth'))


def test_resume_finds_checkpoints_that_are_elsewhere(checkpoint, tmp_path):
    elsewhere = dict(checkpoint=dict(out_dir=str(tmp_path / 'elsewhere')))
    folder = tmp_path / 'elsewhere/run'
    folder.mkdir(parents=True)
    for pointer in ('', str(folder / 'epoch_9.pth')):
        shutil.copy(checkpoint, folder / 'epoch_8.pth')
        (folder / 'epoch_9.pth').write_bytes(checkpoint.read_bytes()[: -100 if pointer else None])
        (tmp_path / 'run').mkdir(exist_ok=True)
        (tmp_path / 'run/last_checkpoint').write_text(pointer)
        found = resumed(tmp_path / 'run', 'auto', default_hooks=elsewhere)
        assert found == (True, str(folder / f'epoch_{8 if pointer else 9}.pth'))
    (tmp_path / 'run/last_checkpoint').write_text('s3://bucket/run/epoch_7.pth')
    assert resumed(tmp_path / 'run', 'auto') == (True, 's3://bucket/run/epoch_7.pth')


def test_resume_does_not_begin_anew_where_a_checkpoint_is_missing(tmp_path):
    (tmp_path / 'last_checkpoint').write_text('/gone/epoch_9.pth')
    with pytest.raises(ValueError, match=r'/gone/epoch_9\.pth.*delete last_checkpoint'):
        resumed(tmp_path, 'auto')


@pytest.mark.parametrize('kind', ['truncated', 'missing'])
def test_what_is_no_checkpoint_is_refused(tmp_path, checkpoint, kind):
    content = checkpoint.read_bytes()
    checkpoint.unlink()
    if kind == 'truncated':
        checkpoint.write_bytes(content[:-100])
    for resume in (str(checkpoint), None):
        with pytest.raises(ValueError, match=r'no checkpoint .*epoch_3|epoch_3\.pth cannot be read as'):
            resumed(tmp_path, resume, load_from=str(checkpoint))


def scaled_rate(asked, **scaling):
    config = dict(
        launcher='none',
        train_dataloader=dict(batch_size=16),
        optim_wrapper=dict(accumulative_counts=2, optimizer=dict(lr=0.1)),
        auto_scale_lr=scaling,
    )
    config = Config(config)
    load_tool('train.py').set_lr_scaling(config, asked)
    return config.optim_wrapper.optimizer.lr


def test_the_rate_is_scaled_where_command_line_or_config_asks_for_it():
    assert scaled_rate(True, base_batch_size=64) == scaled_rate(False, base_batch_size=64, enable=True) == 0.05
    assert scaled_rate(False, base_batch_size=64) == scaled_rate(False) == 0.1
    with pytest.raises(ValueError, match=r'add auto_scale_lr=dict\(base_batch_size=...\) to the config'):
        scaled_rate(True)


WORKER = """Caught ValueError in DataLoader worker process 0.
Original Traceback (most recent call last):
  File "worker.py", line 1, in <module>
    raise ValueError('x')
ValueError: the image is
gone: really
"""


@pytest.mark.parametrize(
    ('error', 'text'),
    [
        (ValueError('plain'), 'plain'),
        (ValueError(WORKER), 'the image is\ngone: really'),
        (KeyError('Nix is not in the registry'), 'KeyError: Nix is not in the registry (raised in '),
        (TypeError('unexpected keyword'), 'TypeError: unexpected keyword (raised in '),
    ],
)
def test_failures_are_described_without_their_traceback(error, text):
    with pytest.raises(type(error)) as raised:
        raise error
    assert errors.describe(raised.value).startswith(text)


def test_an_unknown_setting_of_a_class_is_described_with_the_nearest():
    init_default_scope('mmpretrain')
    with pytest.raises(TypeError) as raised:
        MODELS.build(dict(type='mixmae_mm.MixMIMSwin', in_chanels=1))
    assert 'Did you mean in_channels?' in errors.describe(raised.value)


def test_the_traceback_is_kept_in_the_log(tmp_path):
    log = tmp_path / 'run.log'
    MMLogger.get_instance(uuid.uuid4().hex, log_file=str(log))
    with pytest.raises(SystemExit) as stopped, errors.readable_errors(debug=False):
        raise ValueError('seven is odd')
    assert stopped.value.code == f'error: seven is odd\n(traceback: {log})'
    assert "    raise ValueError('seven is odd')\nValueError: seven is odd" in log.read_text()


@pytest.mark.parametrize(('debug', 'error'), [(True, ValueError('x')), (False, RuntimeError('x'))])
def test_other_errors_and_debugging_keep_the_traceback(debug, error):
    with pytest.raises(type(error)), errors.readable_errors(debug):
        raise error


@pytest.fixture
def classifier(tmp_path):
    """A classification config for six images, and a checkpoint for it."""
    for number in range(6):
        path = tmp_path / 'images' / 'val' / f'class{number % 2}' / f'{number}.jpg'
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    config = Config.fromfile(FINETUNING)
    loader = dict(batch_size=4, num_workers=0, persistent_workers=False, dataset=dict(data_root=f'{tmp_path}/images'))
    model = dict(head=dict(num_classes=2))
    config.merge_from_dict(dict(model=model, test_dataloader=loader, experiment_name=uuid.uuid4().hex))
    for split in ('train', 'val'):  # of the built-in set, which may be there
        config[f'{split}_dataloader'].dataset.data_root = f'{tmp_path}/images'
    config.dump(tmp_path / 'classifier.py')
    torch.save(dict(state_dict=MODELS.build(config.model).state_dict()), tmp_path / 'weights.pth')
    return tmp_path / 'classifier.py', tmp_path / 'weights.pth'


def test_testing_writes_metrics_predictions_and_images(monkeypatch, tmp_path, classifier):
    out, shown = tmp_path / 'predictions.pkl', tmp_path / 'shown'
    words = [*classifier, '--work-dir', tmp_path / 'work', '--out', out, '--show-dir', shown]
    monkeypatch.setattr(sys, 'argv', ['test.py', *map(str, words)])
    load_tool('test.py').main()
    predictions = pickle.loads(out.read_bytes())
    right = [bool(prediction['pred_label'] == prediction['gt_label']) for prediction in predictions]
    assert [int(prediction['gt_label']) for prediction in predictions] == [0, 0, 0, 1, 1, 1]
    (metrics,) = (tmp_path / 'work').glob('*/*.json')
    assert f'"accuracy/top1": {100 * sum(right) / 6:.4}'[:22] in metrics.read_text()
    assert len(list(shown.rglob('*.jpg')) + list(shown.rglob('*.png'))) == 6


def test_testing_in_several_ways_joins_what_comes_out(monkeypatch, tmp_path, classifier):
    """Each image and its mirror image: the mean of their scores."""
    config = Config.fromfile(classifier[0])
    load, pack = config.test_dataloader.dataset.pipeline
    flips = [dict(type='mmpretrain.RandomFlip', prob=prob) for prob in (0.0, 1.0)]
    config.tta_pipeline = [load, dict(type='TestTimeAug', transforms=[flips, [pack]])]
    config.tta_model = dict(type='mmpretrain.AverageClsScoreTTA')
    config.dump(classifier[0])
    out = tmp_path / 'predictions.pkl'
    words = [*classifier, '--work-dir', tmp_path / 'work', '--out', out, '--tta']
    monkeypatch.setattr(sys, 'argv', ['test.py', *map(str, words)])
    load_tool('test.py').main()
    scores = [prediction['pred_score'] for prediction in pickle.loads(out.read_bytes())]
    assert len(scores) == 6
    model = MODELS.build(config.model).eval()
    model.load_state_dict(torch.load(classifier[1])['state_dict'])
    pixels = np.asarray(Image.open(tmp_path / 'images/val/class0/0.jpg')).transpose(2, 0, 1).copy()
    with torch.no_grad():
        given = [
            model(model.data_preprocessor(dict(inputs=[torch.from_numpy(x.copy()).flip(0)]))['inputs'], mode='tensor')
            for x in (pixels, pixels[:, :, ::-1])
        ]
    one, other = (logits.softmax(dim=1)[0] for logits in given)
    torch.testing.assert_close(scores[0], (one + other) / 2, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(scores[0], one, atol=1e-6)


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--out', 'predictions.json'], '--out writes pickle files: predictions.json should end in .pkl'),
        (['--cfg-options', 'test_dataloader=None'], 'this config has nothing to test: it lacks test_dataloader'),
        (['--tta'], '--tta needs tta_model and tta_pipeline in the config, as in those for ADE20K'),
        (['--show-dir', 'x', '--cfg-options', 'default_hooks.visualization.type=Nix'], 'in this config it is Nix'),
    ],
)
def test_what_cannot_be_tested(monkeypatch, classifier, words, message):
    assert message in main_fails(monkeypatch, 'test.py', *classifier, *words)


def test_the_hooks_of_mmdet_and_mmseg_are_switched_on_by_their_own_names():
    for hook, changed, folder in (
        ('mmdet.DetVisualizationHook', dict(draw=True, test_out_dir='out'), None),
        ('SegVisualizationHook', dict(draw=True, interval=1), 'out'),
    ):
        config = Config(dict(default_hooks=dict(visualization=dict(type=hook)), visualizer={}))
        load_tool('test.py').draw_predictions(config, 'out')
        assert config.default_hooks.visualization.to_dict() == dict(type=hook, **changed)
        assert config.visualizer.get('save_dir') == folder
