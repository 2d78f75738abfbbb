import json
import math

import pytest
from PIL import Image
from tool_loading import load_tool

curves = load_tool('visualization/training_curves.py')


def record(step, loss=1.0, **others):
    """One of training."""
    return dict(step=step, loss=loss, lr=0.1, **others)


def write_start(work_dir, timestamp, lines):
    file = work_dir / timestamp / curves.SCALARS
    file.parent.mkdir(parents=True)
    file.write_text(''.join(line if isinstance(line, str) else json.dumps(line) + '\n' for line in lines))


def test_starts_are_read_in_order_of_time_and_truncated_lines_left_out(tmp_path):
    write_start(tmp_path, '20260102_000000', [record(40, 2.0)])
    write_start(tmp_path, '20260101_000000', [record(20, 3.0), {'accuracy/top1': 9.0, 'step': 1}, '{"loss": 2.5, "ste'])
    records = curves.read_run(tmp_path)
    assert [one.get('loss') for one in records] == [3.0, None, 2.0]
    assert records[1] == {'accuracy/top1': 9.0, 'step': 1, 'iteration': 20}


def test_a_later_start_replaces_what_was_logged_after_the_point_where_it_resumes(tmp_path):
    first = [record(10), dict(step=1, top1=1), record(20), dict(step=2, top1=2), record(30), dict(step=3, top1=3)]
    write_start(tmp_path, '1', first)
    write_start(tmp_path, '2', [dict(step=4, top1=9)])
    assert [one['top1'] for one in curves.read_run(tmp_path) if 'top1' in one] == [1, 2, 3, 9]
    write_start(tmp_path, '3', [record(25), dict(step=3, top1=5)])
    assert [one['top1'] for one in curves.read_run(tmp_path) if 'top1' in one] == [1, 2, 9, 5]
    assert [one['step'] for one in curves.read_run(tmp_path) if 'lr' in one] == [10, 20, 25]


def test_a_run_without_training_is_refused(tmp_path):
    write_start(tmp_path, '20260101_000000', [{'accuracy/top1': 9.0, 'step': 1}])
    with pytest.raises(SystemExit, match=r'^error: .*scalars\.json: expected the work_dir'):
        curves.main([str(tmp_path), '--out', str(tmp_path / 'curves.png')])
    assert not (tmp_path / 'curves.png').exists()


def test_panels_by_pattern():
    names = ('accuracy/top1', 'coco/bbox_mAP', 'coco/bbox_mAP_50', 'mIoU', 'mAcc', 'online/knn_top1', 'data_time')
    runs = [[record(1, loss_a=1.0), dict(step=1, **dict.fromkeys(names, 1.0))]]
    assert list(curves.panels_of(runs, curves.METRICS)) == [
        'loss', 'accuracy/top1', 'coco/bbox_mAP', 'mIoU', 'online/knn_top1', 'lr'
    ]  # fmt: skip
    assert list(curves.panels_of(runs, ['*_50', 'mA*'])) == ['loss', 'coco/bbox_mAP_50', 'mAcc', 'lr']
    parts = {'loss_a': 0.5, 'loss_b': 0.5, 'topk_precision/block_10': 0.5, 'topk_precision/block_9': 0.5}
    panels = curves.panels_of([[record(1, **parts)]], curves.METRICS)
    assert list(panels) == ['loss', 'loss_a', 'loss_b', 'topk_precision/block', 'lr']
    assert panels['topk_precision/block'] == ['topk_precision/block_9', 'topk_precision/block_10']


def test_smoothing_by_hand():
    assert curves.smooth([1, 6, 2, 4, 9], 0.2) == [1, 3, 4, 5, 9]
    assert curves.smooth([1, 6, 2, 4, 9], 0.4) == [1, 3, pytest.approx(22 / 5), 5, 9]
    assert curves.smooth([1, 6, 2, 4, 9], 0) == [1, 6, 2, 4, 9]
    falling = [100.0 - i for i in range(50)]
    assert curves.smooth(falling, 0.1) == pytest.approx(falling)
    assert math.isnan(curves.smooth([math.nan, 1], 0.5)[0])
    assert curves.smooth([2, math.nan, 4, math.inf, 6], 0.2) == [2, 3, 4, 5, 6]


def lines_of(axes):
    return [(list(line.get_xdata()), list(line.get_ydata()), line.get_color()) for line in axes.lines]


def test_every_panel_has_each_run_with_raw_and_smoothed_losses(tmp_path):
    write_start(tmp_path / 'one', '1', [record(4, 2.0), dict(step=1, mIoU=5.0), record(8, 4.0), record(12, 0.0)])
    write_start(tmp_path / 'other', '1', [record(6, 3.0), {'step': 6, 'online/rankme': 30.0}, dict(step=1, mIoU=7.0)])
    runs = {name: curves.read_run(tmp_path / name) for name in ('one', 'other')}
    figure = curves.draw_runs(runs, 0.34, curves.panels_of(runs.values(), curves.METRICS))
    panels = {axes.get_title(loc='left'): axes for axes in figure.axes}
    assert lines_of(panels['loss']) == [
        ([4, 8, 12], [2, 4, 0], 'C0'),
        ([4, 8, 12], [2, 2, 0], 'C0'),
        ([6], [3], 'C1'),
        ([6], [3], 'C1'),
    ]
    assert lines_of(panels['mIoU']) == [([4], [5], 'C0'), ([6], [7], 'C1')]
    assert lines_of(panels['online/rankme']) == [([], [], 'C0'), ([6], [30], 'C1')]
    assert [text.get_text() for text in panels['loss'].get_legend().get_texts()] == ['one', 'other']


def test_image_and_summary_from_the_command_line(tmp_path, capsys):
    metrics = [dict(step=1, mIoU=30.0), dict(step=2, mIoU=25.0)]
    lines = [record(10, 3.0, base_lr=0.8), metrics[0], record(20, 2.0, base_lr=0.4), metrics[1]]
    folders = [tmp_path / 'a/run', tmp_path / 'b/run']
    for folder in folders:
        write_start(folder, '20260101_000000', lines)
    curves.main([*map(str, folders), '--out', str(tmp_path / 'new/curves.png')])
    printed = capsys.readouterr().out
    assert f'{folders[0]}\n    loss: 3 at first, 2 at last, 2 to 3 (2 records)\n' in printed
    assert '    mIoU: 30 at first, 25 at last, 25 to 30 (2 records)\n' in printed
    assert '    lr: 0.8 at first' in printed  # not that of the first parameter group
    with Image.open(tmp_path / 'new/curves.png') as image:
        assert image.size == (960, 1020)
    with pytest.raises(SystemExit, match=r'acc\*; logged: loss, lr, mIoU'):
        curves.main([str(folders[0]), '--out', str(tmp_path / 'other.png'), '--metrics', 'mIoU', 'acc*'])
    assert not (tmp_path / 'other.png').exists()
