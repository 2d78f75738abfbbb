"""The demo's own decisions: which config and encoder, when to resume, where numbers are read."""

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
        if tool in ('tools/train.py', 'tools/pretrain.py'):
            work_dir = tmp_path / options[2 if tool == 'tools/train.py' else 6]
            (work_dir / '2026/vis_data').mkdir(parents=True, exist_ok=True)
            (work_dir / 'last_checkpoint').write_text('/elsewhere/epoch_40.pth')
            accuracies = [json.dumps({'accuracy/top1': 10.0 * len(recorded) + i}) for i in range(2)]
            (work_dir / '2026/vis_data/scalars.json').write_text('{"loss": 1.0}\n' + '\n'.join(accuracies) + '\n')
        return json.dumps(dict(top1=0.25 if 'epoch_40.pth' in ' '.join(recorded[-1]) else 0.125))

    monkeypatch.setattr(demo, 'ROOT', tmp_path)
    monkeypatch.setattr(demo, 'run', run)
    return recorded


def test_an_interrupted_pretraining_is_resumed_and_a_finished_one_starts_again(calls, tmp_path):
    work_dir = OUT / 'pretrain'
    kept = tmp_path / work_dir / 'epoch_10.pth'
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert demo.pretrain_on_built_in_images('mixmae') == work_dir / 'epoch_40.pth'
    assert calls[0][:6] == ['tools/train.py', MIXMAE.pretrain, '--work-dir', str(work_dir), '--resume', 'auto']
    assert calls[0][6:] == ['--cfg-options', f'train_cfg.max_epochs={MIXMAE.epochs}']
    assert kept.exists()
    demo.pretrain_on_built_in_images('mixmae')
    assert not kept.exists()


@pytest.mark.parametrize('name', demo.METHODS)
def test_every_method_goes_the_whole_way_in_its_own_folder(calls, capsys, name):
    demo.main(['--method', name])
    method, folder, found = demo.METHODS[name], f'work_dirs/demo/{name}', f'work_dirs/demo/{name}/pretrain/epoch_40.pth'
    tools = [Path(tool).stem for tool, *_ in calls]
    assert tools == ['make_materials', 'train', 'visualize', 'training_curves', 'evaluate', 'evaluate', 'train', 'train']
    trained = [call[1:4:2] for call in calls if call[0] == 'tools/train.py']
    assert trained == [
        [method.pretrain, f'{folder}/pretrain'],
        [method.scratch, f'{folder}/scratch'],
        [method.finetune, f'{folder}/finetune'],
    ]
    assert calls[1][-1] == f'train_cfg.max_epochs={method.epochs}'
    assert calls[7][-2:] == [calls[6][-1], f'model.backbone.init_cfg.checkpoint={found}']
    assert calls[2][1:4] == ['reconstruct', method.pretrain, found]
    assert [call[1:3] for call in calls[4:6]] == [[method.pretrain, '--train'], [method.pretrain, found]]
    printed = capsys.readouterr().out
    assert [[cell.strip() for cell in row] for row in table_rows(printed)] == [
        ['20 nearest neighbors', '12.5', '25.0'],
        ['fine-tuning', '71.0', '81.0'],
    ]
    assert f'{folder}/pretrain_reconstructions.png' in printed


def table_rows(printed):
    return [line.split('│')[1:4] for line in printed.splitlines() if line.count('│') > 3]


@pytest.mark.parametrize('name', demo.METHODS)
def test_every_method_pretrains_on_own_images_in_a_folder_of_their_own(calls, tmp_path, name):
    data = str(tmp_path / "it's, [1] mine")
    demo.main(['--method', name, '--data', data])
    assert [Path(tool).stem for tool, *_ in calls] == ['pretrain', 'visualize', 'training_curves']
    work_dir = f"work_dirs/demo/{name}/own_it's, [1] mine"
    assert calls[0][1:7] == [data, '--method', name, '--size', 'micro', '--out']
    assert calls[0][7:] == [work_dir, '--epochs', str(demo.METHODS[name].epochs), '--resume']
    assert calls[1][2:5] == [f'{work_dir}/pretrain.py', f'{work_dir}/epoch_40.pth', '--images']


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


def make(*words):
    if shutil.which('make') is None:
        pytest.skip('there is no make here')
    command = ['make', '--no-print-directory', '-n', *words]
    return subprocess.run(command, cwd=TOOLS.parent, capture_output=True, text=True)


def test_make_hands_method_and_folder_on_and_refuses_other_methods_before_anything_is_installed():
    for name in demo.METHODS:
        command = f'tools/demo.py --method "{name}" --data "/my images"'
        assert make('demo', f'METHOD={name}', 'DATA=/my images').stdout.rstrip().endswith(command)
    done = make('demo', 'METHOD=moco')
    assert done.returncode == 2
    assert f"METHOD 'moco' is unknown: take one of {' '.join(demo.METHODS)}" in done.stderr
    assert 'environment.py' not in done.stdout


@pytest.fixture
def dense_calls(calls, tmp_path, monkeypatch):
    """Record trainings, too; from an encoder they log twice what they log from scratch."""
    metrics = {'coco/bbox_mAP': 0.25, 'coco/segm_mAP': 0.125, 'mIoU': 40.0}

    def train_anew(config, work_dir, *settings):
        calls.append(['train_anew', config, str(work_dir), *settings])
        (tmp_path / work_dir).mkdir(parents=True, exist_ok=True)
        (tmp_path / work_dir / 'last_checkpoint').write_text('/elsewhere/epoch_6.pth')
        return {name: value * (2 if settings else 1) for name, value in metrics.items()}

    monkeypatch.setattr(demo, 'train_anew', train_anew)
    return calls


def test_dense_tasks_go_the_whole_way(dense_calls, tmp_path, capsys):
    for number in range(24):
        path = tmp_path / 'data/materials/val' / f'{number % 3}/{number}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    demo.main(['--dense'])
    kinds = [Path(tool).stem for tool, *_ in dense_calls]
    assert kinds == ['make_materials', 'train', *['train_anew'] * 4, *['test'] * 2]
    encoder = 'model.backbone.init_cfg.checkpoint=work_dirs/demo/mixmae/pretrain/epoch_40.pth'
    assert [call[3:] for call in dense_calls[2:6]] == [[], [encoder], [], [encoder]]
    assert dense_calls[6][2] == 'work_dirs/demo/dense/detection/pretrained/epoch_6.pth'
    assert dense_calls[6][-1] == 'test_dataloader.dataset.indices=[0,2,4,6,8,10,12,14,16,18,20,22]'
    assert [[cell.strip() for cell in row] for row in table_rows(capsys.readouterr().out)] == [
        ['Mask R-CNN, box AP', '25.0', '50.0'],
        ['Mask R-CNN, mask AP', '12.5', '25.0'],
        ['UperNet, mIoU', '40.0', '80.0'],
        ['UperNet, pixel accuracy', '0.0', '0.0'],  # nothing was predicted, so nothing logged
    ]


def test_an_encoder_that_is_there_is_taken_and_one_task_is_enough(dense_calls, tmp_path):
    folder = tmp_path / 'work_dirs/demo/mixmae/pretrain'
    folder.mkdir(parents=True)
    (folder / 'last_checkpoint').write_text('/moved/epoch_7.pth')
    (folder / 'finished').touch()
    demo.main(['--dense', '--task', 'segmentation'])
    assert 'mask-rcnn' not in str(dense_calls)
    assert dense_calls[2][-1].endswith('work_dirs/demo/mixmae/pretrain/epoch_7.pth')


@pytest.mark.parametrize('name', demo.TASKS)
def test_configs_of_a_task_differ_in_the_encoders_weights_and_decay_alone(name):
    task = demo.TASKS[name]
    pretrained, scratch = (Config.fromfile(TOOLS.parent / path).to_dict() for path in (task.config, task.scratch))
    assert pretrained['model']['backbone'].pop('init_cfg')['type'] == 'Pretrained'
    assert scratch['model']['backbone'].pop('init_cfg') is None
    assert scratch['optim_wrapper'].pop('paramwise_cfg')['layer_decay_rate'] == 1
    pretrained['optim_wrapper'].pop('paramwise_cfg')
    assert pretrained == scratch
