"""The command line `mixmae`: what each command runs, what it refuses, and pre-training on a folder."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from forked import Program
from micro_training import finish
from mmengine.config import Config
from PIL import Image

from mixmae_mm import __main__ as cli
from mixmae_mm.utils.cfg_options import put_options
from mixmae_mm.utils.launching import load_config

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location('tool_pretrain', ROOT / 'tools' / 'pretrain.py')
pretrain = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pretrain)
RECIPES = [(method, size) for method, sizes in pretrain.find_recipes().items() for size in sizes]

assert len(RECIPES) >= 10


@pytest.fixture
def images(tmp_path):
    """Eight images in a folder whose name no shell and no parser of settings would leave alone."""
    folder = tmp_path / "it's 1, 2" / '~x'
    folder.mkdir(parents=True)
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (8, 80, 80, 3), np.uint8)):
        Image.fromarray(pixels).save(folder / f'{number}.png')
    return folder


def written(tmp_path, images, *options, method='mixmae', size='base'):
    """Write the config of a command, and load it."""
    given = [str(images), '--method', method, '--size', size, '--out', str(tmp_path / 'out'), *options]
    return load_config(pretrain.write_config(pretrain.parse_args(given)))


def test_help_lists_each_command_on_a_line_and_imports_no_torch():
    program = 'import sys; from mixmae_mm.__main__ import main; main(sys.argv[1:]); print("torch" in sys.modules)'
    done = subprocess.run([sys.executable, '-c', program, '--help'], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert all(f'  {command:13} {text}' in lines for command, (_, text) in cli.COMMANDS.items())
    assert lines[-1] == 'False'


@pytest.mark.parametrize('command', [command for command, (tool, _) in cli.COMMANDS.items() if tool])
def test_help_of_a_command_is_that_of_its_tool(command, monkeypatch, capsys):
    for name in ('argv', 'path'):
        monkeypatch.setattr(sys, name, [*getattr(sys, name)])
    monkeypatch.setitem(sys.modules, '__main__', sys.modules['__main__'])
    monkeypatch.setattr('mixmae_mm.utils.console.start', lambda: None)  # it would take pytest's streams
    with pytest.raises(SystemExit) as end:
        cli.main([*command.split(), '--help'])
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith(f'usage: mixmae {command} [-h]')


def test_a_misspelt_command_is_refused_with_the_nearest(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(['pretrian'])
    assert end.value.code == 2
    assert 'Did you mean pretrain?' in capsys.readouterr().err


def test_the_doctor_is_a_command(monkeypatch):
    called = []
    monkeypatch.setattr(sys, 'argv', [])
    monkeypatch.setattr(cli.runpy, 'run_module', lambda name, run_name: called.append((name, run_name)))
    cli.main(['doctor'])
    assert called == [('mixmae_mm.doctor', '__main__')]


@pytest.mark.parametrize(('method', 'size'), RECIPES)
def test_a_recipe_is_the_plain_one_of_its_method_and_size(method, size):
    recipe = pretrain.find_recipes()[method][size]
    config = load_config(recipe)
    assert config.train_dataloader.dataset.type == 'mixmae_mm.ImageFolder'
    assert size == 'micro' or config.model.backbone.arch == size
    assert 'strategy' not in config
    assert config.model.data_preprocessor.num_sources == dict(mixmae=2, mixedae=4, mae=1)[method]
    assert [scheduler['type'] for scheduler in config.param_scheduler] == ['LinearLR', 'CosineAnnealingLR']


def test_without_options_the_recipe_stays_but_for_the_folder(tmp_path, images):
    config, recipe = written(tmp_path, images), load_config(pretrain.find_recipes()['mixmae']['base'])
    assert config.train_dataloader.dataset.data_root == str(images)
    config.train_dataloader.dataset.data_root = recipe.train_dataloader.dataset.data_root
    assert config.auto_scale_lr.pop('enable')
    assert {**config} == {**recipe, **{key: value for key, value in config.items() if key not in recipe}}


def test_options_are_settings_of_the_config(tmp_path, images):
    config = written(tmp_path, images, '--epochs', '60', '--batch-size', '32', '--image-size', '192', '256')
    assert config.train_cfg.max_epochs == 60
    assert [(one.get('begin'), one.get('end')) for one in config.param_scheduler] == [(None, 8), (8, None)]
    assert config.train_dataloader.batch_size == 32
    assert [step.scale for step in config.train_dataloader.dataset.pipeline if 'scale' in step] == [(192, 256)]
    assert (config.model.backbone.img_size, config.model.neck.grid_size) == ((192, 256), (6, 8))
    assert written(tmp_path / 'other', images, '--image-size', '96').model.neck.grid_size == (3, 3)


@pytest.mark.parametrize('options', [[], ['--precision', 'bf16', '--image-size', '192', '--epochs', '60']])
@pytest.mark.parametrize(
    'settings',
    [
        ['optim_wrapper.accumulative_counts=8', 'randomness.seed=3', 'optim_wrapper.optimizer.lr=1e-3'],
        ['train_dataloader.dataset.pipeline.1.crop_ratio_range=0.3,1', 'train_dataloader.dataset.pipeline.1.scale=64'],
        ["optim_wrapper.optimizer={'type': 'SGD', 'lr': 0.1, '_delete_': True}"],
        [
            "model.neck={'depth': 2}",
            'default_hooks.online=None',
            'find_unused_parameters=True',
            'env_cfg.cudnn_benchmark=True',
        ],
    ],
)
def test_settings_are_written_into_the_config(tmp_path, images, options, settings):
    plain = written(tmp_path / 'plain', images, *options)
    put_options(plain, dict(one.split('=', 1) for one in settings))
    config = written(tmp_path, images, *options, '--cfg-options', *settings)
    assert config._cfg_dict.to_dict() == plain._cfg_dict.to_dict()
    assert '_delete_' not in str(config._cfg_dict)
    with pytest.raises(ValueError, match=r'pretrain\.py already exists with other settings'):
        written(tmp_path, images, *options, '--cfg-options', 'randomness.seed=4')


@pytest.mark.parametrize('size', ['micro', 'base'])
@pytest.mark.parametrize(('precision', 'dtype'), [('fp32', None), ('bf16', 'bfloat16'), ('fp16', 'float16')])
def test_precision_replaces_that_of_the_recipe(tmp_path, images, size, precision, dtype):
    wrapper = written(tmp_path, images, '--precision', precision, size=size).optim_wrapper
    assert (wrapper.type, wrapper.get('dtype')) == ('AmpOptimWrapper' if dtype else 'OptimWrapper', dtype)
    assert wrapper.optimizer.type == 'AdamW'


@pytest.mark.parametrize('method', ['mixmae', 'mixedae', 'mae'])
def test_pretraining_leaves_weights_and_the_config_that_made_them(tmp_path, images, method):
    program, out = tmp_path / 'mixmae.py', tmp_path / f'runs, {method}'
    program.write_text('from mixmae_mm.__main__ import main\n\nmain()\n')
    options = ['--batch-size', '4', '--epochs', '1', '--device', 'cpu', '--out', out]
    settings = ['--cfg-options', 'train_dataloader.num_workers=0', 'default_hooks.logger.interval=1']
    finish(Program(program, 'pretrain', images, '--method', method, '--size', 'micro', *options, *settings))
    checkpoint = torch.load(out / 'epoch_1.pth', weights_only=False)
    assert checkpoint['meta']['iter'] == 2
    assert all(weight.isfinite().all() for weight in checkpoint['state_dict'].values())
    text = (out / 'configs' / 'pretrain.py').read_text()
    assert f"_base_ = 'mixmae_mm::{method}/" in text
    assert text.startswith("# mixmae pretrain '")
    run = Config.fromfile(out / 'pretrain.py')
    assert run.optim_wrapper.optimizer.lr == pytest.approx(2e-3 * 4 / 64)
    assert run.train_dataloader.dataset.data_root == str(images)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--method', 'mae', '--size', 'tiny'], 'mae has no recipe for it; use one of base, large, micro'),
        (['--image-size', '100'], 'give multiples of 32, the side of a masked cell'),
        (['--image-size', '64', '64', '64'], '--image-size takes H, or H and W'),
        (['--device', 'tpu'], 'tpu: give cpu, cuda or cuda:N'),
        (['--cfg-options', 'seed'], '--cfg-options takes key=value pairs, got seed'),
    ],
)
def test_pretraining_refuses_what_cannot_be_and_says_what_can(tmp_path, images, options, message, capsys):
    with pytest.raises((SystemExit, ValueError)) as end:
        written(tmp_path, images, *options)
    assert message in f'{end.value}{capsys.readouterr().err}'


def test_a_config_that_was_edited_is_not_written_over(tmp_path, images):
    written(tmp_path, images, '--epochs', '3')
    written(tmp_path, images, '--epochs', '3')
    (file,) = tmp_path.rglob('configs/pretrain.py')
    edited = file.read_text().replace('max_epochs=3', 'max_epochs=5')
    assert edited != file.read_text()
    file.write_text(edited)
    for made, said in (('', 'needed, delete it, as no checkpoint was made with it, or'), ('epoch_1.pth', 'needed, or')):
        (tmp_path / 'out' / made).touch()
        with pytest.raises(ValueError, match=rf'pretrain\.py already exists .*mixmae train, .*{said} name .*--out'):
            written(tmp_path, images, '--epochs', '3')
    assert file.read_text() == edited
