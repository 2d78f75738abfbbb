"""The demo's own decisions: which config, when to resume, where numbers are read."""

import json

import pytest
from mmengine.config import Config
from tool_loading import load_tool

demo = load_tool('demo.py')


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """Record the commands instead of running them; training leaves a checkpoint."""
    recorded = []

    def run(tool, *options, capture=False):
        recorded.append([tool, *map(str, options)])
        if tool == 'tools/train.py':
            work_dir = tmp_path / options[2]
            work_dir.mkdir(parents=True, exist_ok=True)
            (work_dir / 'last_checkpoint').write_text('/elsewhere/epoch_40.pth')
        return json.dumps(dict(top1=0.25))

    monkeypatch.setattr(demo, 'ROOT', tmp_path)
    monkeypatch.setattr(demo, 'run', run)
    return recorded


@pytest.mark.parametrize('folder', ['/data/my pictures, 2020', '/data/it\'s "here"', '/data/[1]=x'])
def test_the_config_for_own_pictures_names_any_folder(calls, tmp_path, folder):
    text = (tmp_path / demo.own_config(folder)).read_text()
    settings = {}
    exec(text, settings)
    assert settings['train_dataloader'] == dict(dataset=dict(data_root=folder))
    assert settings['_base_'] == f'../../{demo.PRETRAIN}'


def test_the_config_for_own_pictures_inherits_ours():
    path = demo.ROOT / demo.own_config('/data/pictures')
    config = Config.fromfile(path)
    path.unlink()
    assert config.train_dataloader.dataset.data_root == '/data/pictures'
    assert config.model.type == 'mixmae_mm.MixMAE'


def test_folders_do_not_continue_each_other(calls):
    assert demo.own_config('/data/a') != demo.own_config('/data/b')


def test_an_interrupted_pretraining_is_resumed_and_a_finished_one_made_anew(calls, tmp_path):
    work_dir = demo.OUT / 'pretrain'
    kept = tmp_path / work_dir / 'epoch_10.pth'
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert demo.pretrain('config.py', work_dir) == work_dir / 'epoch_40.pth'
    assert calls[0][:6] == ['tools/train.py', 'config.py', '--work-dir', str(work_dir), '--resume', 'auto']
    assert kept.exists()
    demo.pretrain('config.py', work_dir)
    assert not kept.exists()


def test_accuracies_are_read_as_percent(calls, tmp_path, monkeypatch):
    assert demo.neighbours(None) == 25
    scalars = tmp_path / 'run' / '2026' / 'vis_data' / 'scalars.json'

    def run(*words, **settings):
        scalars.parent.mkdir(parents=True)
        scalars.write_text('{"loss": 1.0}\n{"accuracy/top1": 40.5}\n{"accuracy/top1": 61.5}\n')

    monkeypatch.setattr(demo, 'run', run)
    assert demo.finetune('config.py', tmp_path / 'run') == 61.5
