import json
import math

import pytest
from PIL import Image
from tool_loading import load_tool

from mixmae_mm.visualization.run_logs import CONFIG, SCALARS

curves = load_tool('visualization/training_curves.py')


def record(step, loss=1.0, **others):
    return dict(step=step, loss=loss, lr=0.1, **others)


def write_start(work_dir, timestamp, lines):
    file = work_dir / timestamp / SCALARS
    file.parent.mkdir(parents=True)
    file.write_text(''.join(line if isinstance(line, str) else json.dumps(line) + '\n' for line in lines))


def test_folder_without_a_loss_is_named(tmp_path):
    with pytest.raises(SystemExit, match=r'^error: no training loss in .*: give the work_dir of a run'):
        curves.main([str(tmp_path), '--out', str(tmp_path / 'curves.png')])
    assert not (tmp_path / 'curves.png').exists()


def test_smoothing_by_hand():
    assert curves.smooth([1, 6, 2, 4, 9], 0.2) == [1, 3, 4, 5, 9]
    assert curves.smooth([1, 6, 2, 4, 9], 0.4) == [1, 3, pytest.approx(22 / 5), 5, 9]
    assert curves.smooth([1, 6, 2, 4, 9], 0) == [1, 6, 2, 4, 9]


def test_smoothing_neither_lags_nor_bends():
    falling = [100.0 - i for i in range(50)]
    assert curves.smooth(falling, 0.1) == pytest.approx(falling)


def test_smoothing_leaves_out_what_is_not_finite():
    assert math.isnan(curves.smooth([math.nan, 1], 0.5)[0])
    assert curves.smooth([2, math.nan, 4, math.inf, 6], 0.2) == [2, 3, 4, 5, 6]


def test_figure_holds_raw_and_smoothed_loss_and_rate_of_every_run():
    one = [record(4, 2.0, epoch=1), record(8, 4.0, epoch=2), record(12, 0.0, epoch=3)]
    other = [record(8, 3.0, epoch=1), record(16, 1.0, epoch=2)]
    figure = curves.draw_runs({'one': one, 'other': other}, 0.34)
    losses, rates = figure.axes
    data = [(list(line.get_xdata()), list(line.get_ydata())) for line in losses.lines]
    assert data[0] == ([1, 2, 3], [2, 4, 0])
    assert data[1] == ([1, 2, 3], [2, 2, 0])
    assert data[2] == ([1, 2], [3, 1])
    assert [list(line.get_ydata()) for line in rates.lines] == [[0.1] * 3, [0.1] * 2]
    assert (rates.get_xlabel(), rates.get_ylabel(), losses.get_ylabel()) == (
        'epoch',
        'base learning rate',
        'training loss',
    )
    assert [text.get_text() for text in losses.get_legend().get_texts()] == ['one', 'other']


def test_the_base_rate_is_drawn_where_there_is_one():
    """Of other programs' logs, in which `lr` is that of the lowest layer."""
    figure = curves.draw_runs({'decayed': [record(4, base_lr=0.8), record(8, base_lr=0.4)], 'one': [record(4)]}, 0)
    assert [list(line.get_ydata()) for line in figure.axes[1].lines] == [[0.8, 0.4], [0.1]]


def test_runs_are_drawn_by_iteration_as_soon_as_one_counts_no_epochs():
    figure = curves.draw_runs({'one': [record(4, epoch=1), record(8, epoch=2)], 'other': [record(5)]}, 0.9)
    assert figure.axes[1].get_xlabel() == 'iteration'
    assert list(figure.axes[0].lines[0].get_xdata()) == [4, 8]


def mixedae_records():
    """Two blocks, the later logged first, and two parts of the loss."""
    steps = [(10, 3.0, 2.0, 0.25, 0.5), (20, 2.0, 1.5, 0.5, 0.25), (30, 1.0, 0.5, 0.75, 0.5)]
    return [
        record(step, loss, loss_reconstruction=part, loss_contrastive=loss - part)
        | {'topk_precision/block_10': late, 'topk_precision/block_9': early}
        for step, loss, part, late, early in steps
    ]


def test_parts_of_a_loss_are_drawn_thin_in_the_color_of_their_run():
    figure = curves.draw_runs({'plain': [record(10, 9.0, loss_a=9.0)], 'mixed': mixedae_records()}, 0)
    losses = figure.axes[0]
    drawn = [(list(line.get_ydata()), line.get_linestyle(), line.get_color()) for line in losses.lines]
    assert drawn == [
        ([9], '-', 'C0'),  # its only part is the loss itself
        ([9], '-', 'C0'),
        ([3, 2, 1], '-', 'C1'),
        ([3, 2, 1], '-', 'C1'),
        ([2, 1.5, 0.5], '--', 'C1'),
        ([1, 0.5, 0.5], ':', 'C1'),
    ]
    legend = losses.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ['plain', 'mixed', 'reconstruction', 'contrastive']
    assert [line.get_linestyle() for line in legend.get_lines()] == ['-', '-', '--', ':']


def test_five_parts_as_detectors_have_are_told_apart_and_half_panels_have_a_scale():
    names = ('rpn_cls', 'rpn_bbox', 'cls', 'bbox', 'mask')
    found = {'step': 1, 'coco/bbox_mAP': 0.3, 'coco/segm_mAP': 0.2}
    figure = curves.draw_runs({'run': [record(10, 5.0, **{f'loss_{name}': 1.0 for name in names}), found]}, 0)
    parts = figure.axes[0].get_legend().get_lines()[1:]
    assert len({line._unscaled_dash_pattern for line in parts}) == len(names)
    panels = [axes for axes in figure.axes if axes.get_title(loc='left').startswith('coco/')]
    assert [axes.xaxis.get_tick_params()['labelbottom'] for axes in panels] == [True, True]


def test_precision_has_a_panel_of_its_own_with_chance():
    runs = {'plain': [record(10), record(40)], 'mixed': mixedae_records()}
    figure = curves.draw_runs(runs, 0, {'mixed': 0.25})
    losses, precisions, rates = figure.axes
    early, late, chance = precisions.lines
    assert (list(early.get_ydata()), list(late.get_ydata())) == ([0.5, 0.25, 0.5], [0.25, 0.5, 0.75])
    assert list(late.get_xdata()) == [10, 20, 30]
    assert early.get_alpha() < late.get_alpha() == 1
    assert list(chance.get_ydata()) == [0.25, 0.25]
    assert [(text.get_text(), text.xy) for text in precisions.texts] == [
        ('10', (30, 0.75)),
        ('9', (30, 0.5)),
        ('chance', (0.99, 0.25)),
    ]
    assert precisions.get_ylim() == (0, 1.02)
    assert (losses.get_ylabel(), rates.get_ylabel()) == ('training loss', 'base learning rate')
    assert len(losses.lines) == 6


def test_a_run_that_began_to_log_a_value_later_is_drawn_from_there_on():
    figure = curves.draw_runs({'run': [record(5, 4.0), *mixedae_records()]}, 0, {'run': None})
    assert list(figure.axes[1].lines[0].get_xdata()) == [10, 20, 30]
    assert len(figure.axes[1].lines) == 2  # no chance, as it is not known


def test_numbers_of_curves_that_end_elsewhere_do_not_push_each_other():
    longer = [*mixedae_records(), record(40) | {'topk_precision/block_9': 0.5, 'topk_precision/block_10': 0.5}]
    texts = curves.draw_runs({'one': mixedae_records(), 'two': longer}, 0).axes[1].texts
    assert [(text.get_text(), text.xy) for text in texts] == [
        ('10', (30, 0.75)),
        ('9', (30, 0.5)),
        ('9', (40, 0.5)),
        ('10', (40, 0.5 - curves.LABEL_GAP)),
    ]


def test_numbers_at_the_ends_of_curves_do_not_cover_each_other():
    assert curves.spread([0.9, 0.88, 0.85, 0.5], 0.05) == pytest.approx([0.9, 0.85, 0.8, 0.5])
    assert curves.spread([], 0.05) == []


def test_image_and_summary_from_the_command_line(tmp_path, capsys):
    write_start(tmp_path / 'run', '20260101_000000', [record(20, 3.0, epoch=1), record(40, 2.0, epoch=2)])
    curves.main([str(tmp_path / 'run'), '--out', str(tmp_path / 'new/curves.png'), '--smoothing', '0'])
    assert 'run: loss 3.0000 at iteration 20, 2.0000 at 40 (2 records)' in capsys.readouterr().out
    with Image.open(tmp_path / 'new/curves.png') as image:
        assert image.size == (960, 720)


def test_command_line_draws_precision_of_the_run_that_logs_it(tmp_path, capsys, monkeypatch):
    figures, draw = [], curves.draw_runs
    monkeypatch.setattr(curves, 'draw_runs', lambda *settings: figures.append(draw(*settings)) or figures[-1])
    write_start(tmp_path / 'mixed', '20260101_000000', mixedae_records())
    write_start(tmp_path / 'plain', '20260101_000000', [record(20, 3.0), record(40, 2.0)])
    (tmp_path / 'mixed/20260101_000000' / CONFIG).write_text('model = dict(data_preprocessor=dict(num_sources=4))')
    (tmp_path / 'plain/20260101_000000' / CONFIG).write_text('not to be read')
    curves.main([str(tmp_path / 'plain'), str(tmp_path / 'mixed'), '--out', str(tmp_path / 'curves.png')])
    assert 'mixed: loss 3.0000 at iteration 10, 1.0000 at 30 (3 records)' in capsys.readouterr().out
    with Image.open(tmp_path / 'curves.png') as image:
        assert image.size == (960, 1020)
    assert list(figures[0].axes[1].lines[-1].get_ydata()) == [0.25, 0.25]


def test_every_metric_has_a_panel_with_each_run_by_epoch():
    one = [record(4, epoch=1), dict(step=1, after=4, mIoU=5.0), record(8, epoch=2), dict(step=2, after=8, mIoU=9.0)]
    other = [record(6, epoch=1), {'step': 6, 'after': 6, 'online/rankme': 30.0}, dict(step=1, after=6, mIoU=7.0)]
    figure = curves.draw_runs({'one': one, 'other': other}, 0)
    panels = {axes.get_title(loc='left'): axes for axes in figure.axes}
    of_iou, of_rank = (
        [(list(line.get_xdata()), list(line.get_ydata()), line.get_color()) for line in panels[name].lines]
        for name in ('mIoU', 'online/rankme')
    )
    assert of_iou == [([1, 2], [5, 9], 'C0'), ([1], [7], 'C1')]
    assert of_rank == [([], [], 'C0'), ([1], [30], 'C1')]
    assert len(figure.axes) == 4
    assert len(curves.draw_runs({'one': one, 'other': other}, 0, patterns=[]).axes) == 2


def test_command_line_tells_metrics_and_refuses_unknown_ones(tmp_path, capsys):
    lines = [record(10, epoch=1), dict(step=1, mIoU=30.0), record(20, epoch=2), dict(step=2, mIoU=25.0)]
    write_start(tmp_path / 'run', '20260101_000000', lines)
    curves.main([str(tmp_path / 'run'), '--out', str(tmp_path / 'curves.png')])
    assert '    mIoU: 25 at the end, 30 at most (2 records)\n' in capsys.readouterr().out
    with pytest.raises(
        SystemExit, match=r'^error: no run logged anything like acc\*; what they logged: loss, lr, mIoU'
    ):
        curves.main([str(tmp_path / 'run'), '--out', str(tmp_path / 'other.png'), '--metrics', 'mIoU', 'acc*'])
    assert not (tmp_path / 'other.png').exists()
