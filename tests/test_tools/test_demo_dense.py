"""The dense demo's own decisions: which encoder, which runs, which numbers, which images."""

import sys

import pytest
from mmengine.config import Config
from PIL import Image
from tool_loading import TOOLS, load_tool

sys.path.insert(0, str(TOOLS))
demo_dense = load_tool('demo_dense.py')
METRICS = {'coco/bbox_mAP': 0.25, 'coco/segm_mAP': 0.125, 'mIoU': 40.0, 'aAcc': 80.0}


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """Record the commands instead of running them; training from an encoder logs twice what from scratch it does."""
    recorded = []

    def run(tool, *options, capture=False):
        recorded.append([tool, *map(str, options)])
        if tool == 'tools/test.py':
            task = 'detection' if 'mask-rcnn' in str(options[0]) else 'segmentation'
            for number in range(15):
                path = tmp_path / 'work_dirs/demo/dense' / task / 'painted' / 'deep' / f'{number}.png'
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new('RGB', (128, 64), (number, 0, 0)).save(path)
        return ''

    def train_anew(config, work_dir, *settings):
        recorded.append(['train_anew', config, str(work_dir), *settings])
        (tmp_path / work_dir).mkdir(parents=True, exist_ok=True)
        (tmp_path / work_dir / 'last_checkpoint').write_text('/elsewhere/epoch_6.pth')
        return {name: value * (2 if settings else 1) for name, value in METRICS.items()}

    def pretrain(config, epochs, work_dir):
        recorded.append(['pretrain', config, str(epochs)])
        return work_dir / 'epoch_25.pth'

    monkeypatch.setattr(demo_dense, 'ROOT', tmp_path)
    for function in (run, train_anew, pretrain):
        monkeypatch.setattr(demo_dense, function.__name__, function)
    return recorded


def test_it_goes_the_whole_way(calls, tmp_path, capsys):
    for number in range(24):
        path = tmp_path / 'data/shapes/val' / f'{number % 3}/{number}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    demo_dense.main([])
    kinds = [call[0] for call in calls]
    assert kinds == ['tools/dataset_tools/make_shapes.py', 'pretrain', *['train_anew'] * 4, *['tools/test.py'] * 2]
    encoder = 'model.backbone.init_cfg.checkpoint=work_dirs/demo/mixmae/pretrain/epoch_25.pth'
    assert [call[3:] for call in calls[2:6]] == [[], [encoder], [], [encoder]]
    assert calls[6][2] == 'work_dirs/demo/dense/detection/pretrained/epoch_6.pth'
    assert calls[6][-1] == 'test_dataloader.dataset.indices=[0,2,4,6,8,10,12,14,16,18,20,22]'
    rows = [line.split('│')[1:4] for line in capsys.readouterr().out.splitlines() if line.count('│') > 3]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ['Mask R-CNN, box AP', '25.0', '50.0'],
        ['Mask R-CNN, mask AP', '12.5', '25.0'],
        ['UperNet, mIoU', '40.0', '80.0'],
        ['UperNet, pixel accuracy', '80.0', '160.0'],
    ]


def test_an_encoder_that_is_there_is_taken(calls, tmp_path):
    folder = tmp_path / 'work_dirs/demo/mixmae/pretrain'
    folder.mkdir(parents=True)
    (folder / 'last_checkpoint').write_text('/moved/epoch_7.pth')
    (folder / 'finished').touch()
    assert str(demo_dense.find_encoder()) == 'work_dirs/demo/mixmae/pretrain/epoch_7.pth'
    assert not calls


def test_one_task_alone_and_its_sheet(calls, tmp_path):
    demo_dense.main(['--task', 'segmentation'])
    assert not any('mask-rcnn' in ' '.join(call) for call in calls)
    sheet = Image.open(tmp_path / 'work_dirs/demo/dense/segmentation.png')
    assert sheet.size == (3 * (512 + 8), 4 * (256 + 8))  # twelve of them, three a row, 256 px high
    assert sheet.getpixel((10, 10)) == (0, 0, 0)
    assert sheet.getpixel((10 + 520, 10)) == (1, 0, 0)


def test_a_model_that_predicts_nothing_counts_as_zero(calls, monkeypatch):
    monkeypatch.setattr(demo_dense, 'train_anew', lambda config, work_dir, *settings: {'loss': 3.0})
    assert demo_dense.compare('detection', 'encoder.pth') == [
        ('Mask R-CNN, box AP', 0, 0),
        ('Mask R-CNN, mask AP', 0, 0),
    ]


@pytest.mark.parametrize('name', demo_dense.TASKS)
def test_its_configs_differ_in_the_encoders_weights_and_decay_alone(name):
    task = demo_dense.TASKS[name]
    pretrained, scratch = (Config.fromfile(TOOLS.parent / path).to_dict() for path in (task.config, task.scratch))
    assert pretrained['model']['backbone'].pop('init_cfg')['type'] == 'Pretrained'
    assert scratch['model']['backbone'].pop('init_cfg') is None
    assert scratch['optim_wrapper'].pop('paramwise_cfg')['layer_decay_rate'] == 1
    pretrained['optim_wrapper'].pop('paramwise_cfg')
    assert pretrained == scratch
