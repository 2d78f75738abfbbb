"""The demo's own decisions: which config, when to resume, where numbers are read."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from mmengine.config import Config
from tool_loading import TOOLS, load_tool

demo = load_tool('demo.py')
MIXMAE, OUT = demo.METHODS['mixmae'], demo.OUT / 'mixmae'


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """Record the commands instead of running them; training leaves a checkpoint and an accuracy that rises."""
    recorded = []

    def run(tool, *options, capture=False):
        recorded.append([tool, *map(str, options)])
        if tool == 'tools/train.py':
            work_dir = tmp_path / options[2]
            (work_dir / '2026/vis_data').mkdir(parents=True, exist_ok=True)
            (work_dir / 'last_checkpoint').write_text('/elsewhere/epoch_40.pth')
            accuracies = [json.dumps({'accuracy/top1': 10.0 * len(recorded) + i}) for i in range(2)]
            (work_dir / '2026/vis_data/scalars.json').write_text('{"loss": 1.0}\n' + '\n'.join(accuracies) + '\n')
        return json.dumps(dict(top1=0.25 if 'epoch_40.pth' in ' '.join(recorded[-1]) else 0.125))

    monkeypatch.setattr(demo, 'ROOT', tmp_path)
    monkeypatch.setattr(demo, 'run', run)
    return recorded


@pytest.mark.parametrize('folder', ['/data/my images, 2020', '/data/it\'s "here"', '/data/[1]=x'])
def test_the_config_for_own_images_names_any_folder(calls, tmp_path, folder):
    text = (tmp_path / demo.own_config(MIXMAE.pretrain, OUT, folder)).read_text()
    settings = {}
    exec(text, settings)
    assert settings['train_dataloader'] == dict(dataset=dict(data_root=folder))
    assert settings['_base_'] == f'../../../{MIXMAE.pretrain}'


@pytest.mark.parametrize(('name', 'model'), [('mixmae', 'mixmae_mm.MixMAE'), ('mixedae', 'mixmae_mm.MixedAE')])
def test_the_config_for_own_images_inherits_ours(name, model):
    path = demo.ROOT / demo.own_config(demo.METHODS[name].pretrain, demo.OUT / name, '/data/images')
    config = Config.fromfile(path)
    path.unlink()
    assert config.train_dataloader.dataset.data_root == '/data/images'
    assert config.model.type == model


def test_folders_do_not_continue_each_other(calls):
    configs = {demo.own_config(MIXMAE.pretrain, OUT, folder) for folder in ('/data/a', '/data/b')}
    assert len(configs) == 2


def test_an_interrupted_pretraining_is_resumed_and_a_finished_one_made_anew(calls, tmp_path):
    work_dir = OUT / 'pretrain'
    kept = tmp_path / work_dir / 'epoch_10.pth'
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert demo.pretrain('config.py', 7, work_dir) == work_dir / 'epoch_40.pth'
    assert calls[0][:6] == ['tools/train.py', 'config.py', '--work-dir', str(work_dir), '--resume', 'auto']
    assert calls[0][6:] == ['--cfg-options', 'train_cfg.max_epochs=7']
    assert kept.exists()
    demo.pretrain('config.py', 7, work_dir)
    assert not kept.exists()


def test_accuracies_are_read_as_percent(calls, tmp_path):
    assert demo.neighbors('config.py', None) == 12.5
    assert demo.finetune('config.py', 3, OUT / 'run') == 21
    assert calls[1][2:] == ['--work-dir', str(OUT / 'run'), '--cfg-options', 'train_cfg.max_epochs=3']


@pytest.mark.parametrize('name', demo.METHODS)
def test_every_method_goes_the_whole_way_in_its_own_folder(calls, capsys, name):
    demo.main(['--method', name])
    method, folder, found = demo.METHODS[name], f'work_dirs/demo/{name}', f'work_dirs/demo/{name}/pretrain/epoch_40.pth'
    tools = [Path(tool).stem for tool, *_ in calls]
    assert tools == ['make_shapes', 'train', 'reconstructions', 'training_curves', 'knn', 'knn', 'train', 'train']
    assert [call[1] for call in calls if call[0] == 'tools/train.py'] == [
        method.pretrain,
        method.scratch,
        method.finetune,
    ]
    places = [call[3] for call in calls if call[0] == 'tools/train.py']
    assert places == [f'{folder}/pretrain', f'{folder}/scratch', f'{folder}/finetune']
    epochs = f'train_cfg.max_epochs={method.finetune_epochs}'
    assert calls[1][-1] == f'train_cfg.max_epochs={method.epochs}'
    assert calls[6][-1] == epochs
    assert calls[7][-2:] == [epochs, f'model.backbone.init_cfg.checkpoint={found}']
    assert calls[2][1:3] == [method.pretrain, found]
    assert [call[1:3] for call in calls[4:6]] == [[method.pretrain, '--train'], [method.pretrain, found]]
    printed = capsys.readouterr().out
    rows = [line.split('│')[1:4] for line in printed.splitlines() if line.count('│') > 3]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ['20 nearest neighbors', '12.5', '25.0'],
        ['fine-tuning', '71.0', '81.0'],
    ]
    assert f'with {method.title} ' in printed
    assert f'{folder}/pretrain_reconstructions.png' in printed


@pytest.mark.parametrize('name', demo.METHODS)
def test_every_method_pretrains_on_own_images_in_its_own_folder(calls, tmp_path, name):
    demo.main(['--method', name, '--data', str(tmp_path / 'my images')])
    assert [Path(tool).stem for tool, *_ in calls] == ['train', 'reconstructions', 'training_curves']
    config = calls[0][1]
    assert config.startswith(f'work_dirs/demo/{name}/own_')
    assert demo.METHODS[name].pretrain in (tmp_path / config).read_text()
    assert calls[1][calls[1].index('--images') + 1] == str(tmp_path / 'my images')


@pytest.mark.parametrize('name', demo.METHODS)
def test_configs_of_every_method_fit_each_other(name):
    method = demo.METHODS[name]
    configs = [Config.fromfile(TOOLS.parent / path) for path in (method.pretrain, method.finetune, method.scratch)]
    encoders = [(config.model.backbone.type, config.model.backbone.arch) for config in configs]
    assert encoders[0] == encoders[1] == encoders[2]
    assert configs[1].model.backbone.init_cfg.type == 'Pretrained'
    assert configs[2].model.backbone.init_cfg is None
    assert configs[0].model.type == f'mixmae_mm.{method.title}'
    assert configs[1].train_dataloader.dataset.data_root == demo.IMAGES


def test_an_unknown_method_is_refused(capsys):
    with pytest.raises(SystemExit) as stopped:
        demo.main(['--method', 'moco'])
    assert stopped.value.code == 2
    assert "invalid choice: 'moco'" in capsys.readouterr().err


def make(*words):
    if shutil.which('make') is None:
        pytest.skip('there is no make here')
    command = ['make', '--no-print-directory', '-n', 'demo', *words]
    return subprocess.run(command, cwd=TOOLS.parent, capture_output=True, text=True)


def test_make_hands_method_and_folder_on():
    commands = {
        (): 'tools/demo.py --method "mixmae"',
        ('METHOD=mixedae',): 'tools/demo.py --method "mixedae"',
        ('METHOD=mixedae', 'DATA=/my images'): 'tools/demo.py --method "mixedae" --data "/my images"',
    }
    for words, command in commands.items():
        assert make(*words).stdout.rstrip().endswith(command)


def test_make_knows_the_methods_and_refuses_others_before_anything_is_installed():
    assert all(make(f'METHOD={name}').returncode == 0 for name in demo.METHODS)
    for wrong in ('moco', ''):
        done = make(f'METHOD={wrong}')
        assert done.returncode == 2
        assert f"METHOD '{wrong}' is unknown: take one of {' '.join(demo.METHODS)}" in done.stderr
        assert 'environment.py' not in done.stdout
