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
    """Record the commands instead of running them; results with pre-trained weights are twice as good."""
    recorded = []

    def run(*commands, show=False):
        recorded.extend([str(word) for word in command] for command in commands)
        return [answer([str(word) for word in command]) for command in commands]

    def answer(words):
        if words[0] in ('tools/train.py', 'tools/pretrain.py'):
            work_dir = tmp_path / words[words.index('--work-dir' if words[0] == 'tools/train.py' else '--out') + 1]
            work_dir.mkdir(parents=True, exist_ok=True)
            (work_dir / 'last_checkpoint').write_text('/elsewhere/epoch_40.pth')
        factor = 2 if 'epoch_40.pth' in ' '.join(words) else 1
        ridge = dict(miou=0.1 * factor, miou_error=0.004)
        few = {str(demo.PER_CLASS): dict(top1=dict(mean=0.15 * factor, std=0.01))}
        found = dict(top1=0.125 * factor, probe_top1=0.2 * factor, ridge=ridge, few_labels=few)
        return f'a warning\n{json.dumps(found)}'

    monkeypatch.setattr(demo, 'ROOT', tmp_path)
    monkeypatch.setattr(demo, 'run', run)
    monkeypatch.setattr(demo, 'color_histograms', lambda: (8.0, 7.5))
    return recorded


def test_an_interrupted_pretraining_is_resumed_and_a_finished_one_starts_again(calls, tmp_path):
    work_dir = OUT / 'pretrain'
    kept = tmp_path / work_dir / 'epoch_10.pth'
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert demo.pretrain_on_built_in_images('mixmae') == work_dir / 'epoch_40.pth'
    assert calls[0][:6] == ['tools/train.py', MIXMAE.pretrain, '--work-dir', str(work_dir), '--resume', 'auto']
    settings = [f'train_cfg.max_epochs={MIXMAE.epochs}', *demo.SHORT_WARMUP, 'randomness.seed=0']
    assert calls[0][6:] == ['--cfg-options', *settings, '--quiet']
    assert kept.exists()
    demo.pretrain_on_built_in_images('mixmae')
    assert not kept.exists()


@pytest.mark.parametrize('name', demo.METHODS)
def test_every_method_goes_the_whole_way_in_its_own_folder(calls, capsys, name):
    demo.main(['--method', name])
    method, folder, found = demo.METHODS[name], f'work_dirs/demo/{name}', f'work_dirs/demo/{name}/pretrain/epoch_40.pth'
    tools = [Path(tool).stem for tool, *_ in calls]
    drawn = ['visualize', 'visualize', 'training_curves', 'visualize']
    assert tools == ['make_materials', 'train', *['evaluate'] * 4, *drawn]
    for untrained, trained in (calls[2:4], calls[4:6]):  # the same, but for the weights
        assert trained == [*untrained[:2], found, *untrained[2:]]
    assert calls[2][-8:] == ['--json', '--linear-probe', '--few-labels', '18', '--draws', '5', '--whiten', '64']
    assert [call[1:4] for call in calls[6:] if len(call) > 6] == [
        [kind, method.pretrain, found] for kind in ('reconstruct', 'pca', 'segmentation')
    ]
    printed = capsys.readouterr().out
    rows = [
        ['k-NN, 64 whitened components', '8.0', '12.5', '25.0', '1.2'],
        ['the same with 252 labels', '', '15.0', '30.0', '1.3'],
        ['linear probe', '7.5', '20.0', '40.0', '1.3'],
        ['dense probe, mIoU', '', '10.0', '20.0', '0.4'],
    ]
    expected = rows if name == 'mixmae' else rows[2:]
    assert [[cell.strip() for cell in row] for row in table_rows(printed)] == expected
    assert f'{folder}/pretrain_segmentation.png' in printed
    sentence = (
        f'{method.title} on a CPU raised a linear classifier of 14 materials from 20 to 40 %; colors alone give 8.'
    )
    assert sentence in ' '.join(printed.split())


def table_rows(printed):
    return [line.split('│')[1:-1] for line in printed.splitlines() if line.count('│') > 3]


def test_the_standard_error_is_that_of_the_binomial():
    row = demo.accuracy_row('any', 'top1', [dict(top1=0.2), dict(top1=0.5)])
    assert row.error == pytest.approx(100 * (0.5 * 0.5 / demo.NUM_VAL) ** 0.5)
    drawn = demo.accuracy_row('any', 'top1', [dict(top1=0.2, std=0.5), dict(top1=0.5, std=0.1)])
    assert drawn.error == pytest.approx((row.error**2 + 100**2 * 0.1**2 / 5) ** 0.5)


def test_a_method_that_does_not_raise_the_probe_is_not_praised(capsys):
    for after, expected in ((22.0, 'did not raise a linear'), (23.0, 'CPU raised a linear')):
        demo.conclude(MIXMAE, [demo.Row('linear probe', [8.0, 20.0, after], 1.2)])
        assert expected in ' '.join(capsys.readouterr().out.split())


def test_numbers_of_the_set_are_those_of_the_generator():
    make_materials = load_tool('dataset_tools/make_materials.py')
    settings = make_materials.Settings()
    assert (settings.val, len(make_materials.CLASSES)) == (demo.NUM_VAL, demo.CLASSES)


def test_tools_run_side_by_side_and_the_output_of_a_failed_one_is_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo, 'ROOT', tmp_path)
    (tmp_path / 'a.py').write_text(
        'import pathlib, time\nwhile not pathlib.Path("b").exists(): time.sleep(0.01)\nprint(1)'
    )
    (tmp_path / 'b.py').write_text('open("b", "w")\nprint(2)')
    assert demo.run(['a.py'], ['b.py', '[x] y']) == ['1\n', '2\n']
    (tmp_path / 'c.py').write_text('import sys\nprint("why", file=sys.stderr)\nsys.exit(3)')
    with pytest.raises(SystemExit) as ended:
        demo.run(['c.py'])
    assert ended.value.code == 3
    printed = capsys.readouterr().out
    assert "$ python b.py '[x] y'" in printed
    assert 'why' in printed


@pytest.mark.parametrize('name', demo.METHODS)
def test_every_method_pretrains_on_own_images_in_a_folder_of_their_own(calls, tmp_path, name):
    data = str(tmp_path / "it's, [1] mine")
    demo.main(['--method', name, '--data', data])
    assert [Path(tool).stem for tool, *_ in calls] == ['pretrain', *['visualize'] * 2, 'training_curves', 'visualize']
    work_dir = f"work_dirs/demo/{name}/own_it's, [1] mine"
    assert calls[0][1:7] == [data, '--method', name, '--size', 'micro', '--out']
    assert calls[0][7:] == [work_dir, '--epochs', str(demo.METHODS[name].epochs), '--resume', '--quiet']
    assert calls[1][2:5] == [f'{work_dir}/pretrain.py', f'{work_dir}/epoch_40.pth', '--images']
    assert calls[4][1:8:2] == ['neighbors', f'{work_dir}/epoch_40.pth', data, data]
    assert calls[4][4:7:2] == ['--of', '--among']
    assert calls[4][8:10] == ['--whiten', '64']


@pytest.mark.parametrize('name', demo.METHODS)
def test_configs_are_of_the_method_and_of_the_set_and_have_the_stages(name):
    method = demo.METHODS[name]
    config = Config.fromfile(TOOLS.parent / method.pretrain)
    assert config.model.type == f'mixmae_mm.{method.title}'
    assert config.train_dataloader.dataset.data_root == f'{demo.IMAGES}/train'
    arch = config.model.backbone.arch
    assert max(method.stages) < (arch.depth if 'depth' in arch else len(arch.depths))


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
    """Record trainings too; with a pre-trained encoder, they log twice the score."""
    metrics = {'coco/segm_mAP': 0.125}

    def train_anew(*runs):
        for config, work_dir, *settings in runs:
            calls.append(['train_anew', config, str(work_dir), *settings])
            (tmp_path / work_dir).mkdir(parents=True, exist_ok=True)
            (tmp_path / work_dir / 'last_checkpoint').write_text('/elsewhere/epoch_6.pth')
        factors = (2 if 'init_cfg' in ' '.join(settings) else 1 for _, _, *settings in runs)
        return [{name: value * factor for name, value in metrics.items()} for factor in factors]

    monkeypatch.setattr(demo, 'train_anew', train_anew)
    return calls


def test_detection_goes_the_whole_way(dense_calls, tmp_path, capsys):
    for number in range(24):
        path = tmp_path / 'data/materials/val' / f'{number % 3}/{number}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    demo.main(['--dense', '--seed', '3'])
    kinds = [Path(tool).stem for tool, *_ in dense_calls]
    assert kinds == ['make_materials', 'train', *['train_anew'] * 2, 'test']
    encoder = 'model.backbone.init_cfg.checkpoint=work_dirs/demo/mixmae/pretrain/epoch_40.pth'
    settings = [*demo.ONE_WORKER, 'randomness.seed=3']
    assert settings[-1] in dense_calls[1]
    assert [call[3:] for call in dense_calls[2:4]] == [settings, [encoder, *settings]]
    assert dense_calls[4][2] == 'work_dirs/demo/dense/detection/pretrained/epoch_6.pth'
    assert dense_calls[4][-1] == 'test_dataloader.dataset.indices=[0,2,4,6,8,10,12,14,16,18,20,22]'
    assert [[cell.strip() for cell in row] for row in table_rows(capsys.readouterr().out)] == [
        ['Mask R-CNN, mask AP', '12.5', '25.0']
    ]


def test_a_run_that_predicts_and_logs_nothing_counts_as_0(monkeypatch):
    monkeypatch.setattr(demo, 'train_anew', lambda *runs: [{}, {'coco/segm_mAP': 0.25}])
    assert demo.compare(Path('encoder.pth'), 0).numbers == [0, 25]


def test_an_encoder_that_is_there_is_taken(dense_calls, tmp_path):
    folder = tmp_path / 'work_dirs/demo/mixmae/pretrain'
    folder.mkdir(parents=True)
    (folder / 'last_checkpoint').write_text('/moved/epoch_7.pth')
    (folder / 'finished').touch()
    demo.main(['--dense'])
    assert dense_calls[2][3].endswith('work_dirs/demo/mixmae/pretrain/epoch_7.pth')


def test_configs_of_the_detectors_differ_in_the_encoders_weights_alone():
    configs = demo.DETECTOR, demo.FROM_SCRATCH
    pretrained, scratch = (Config.fromfile(TOOLS.parent / path).to_dict() for path in configs)
    assert pretrained['model']['backbone'].pop('init_cfg')['type'] == 'Pretrained'
    assert scratch['model']['backbone'].pop('init_cfg') is None
    assert pretrained == scratch
