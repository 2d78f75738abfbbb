import json
import math

import pytest
from PIL import Image
from tool_loading import load_tool

curves = load_tool('visualization/training_curves.py')


def record(step, loss=1.0, **others):
    return dict(step=step, loss=loss, lr=0.1, **others)


def write_start(work_dir, timestamp, lines):
    file = work_dir / timestamp / curves.SCALARS
    file.parent.mkdir(parents=True)
    file.write_text(''.join(line if isinstance(line, str) else json.dumps(line) + '\n' for line in lines))


def test_resumed_run_goes_on_from_where_the_later_start_takes_over():
    first = [record(10, 5), record(20, 4), record(30, 3)]
    second = [record(25, 2), record(35, 1)]
    joined = curves.join_starts([first, [], second])
    assert [(one['step'], one['loss']) for one in joined] == [(10, 5), (20, 4), (25, 2), (35, 1)]


def test_folders_of_one_run_are_read_in_order_of_time_and_foreign_lines_left_out(tmp_path):
    write_start(tmp_path, '20260102_000000', [record(40, 2.0)])
    write_start(tmp_path, '20260101_000000', [record(20, 3.0), {'accuracy/top1': 9.0, 'step': 1}, '{"loss": 2.5, "ste'])
    assert [one['loss'] for one in curves.read_run(tmp_path)] == [3.0, 2.0]


def test_folder_without_a_loss_is_named(tmp_path):
    with pytest.raises(SystemExit, match=r'^training_curves: no training loss in .*: give the work folder of a run'):
        curves.main([str(tmp_path), '--out', str(tmp_path / 'curves.png')])
    assert not (tmp_path / 'curves.png').exists()


def test_epoch_length_is_found_from_records_that_stop_short_of_each_epochs_end():
    records = [record((epoch - 1) * 46 + inner, epoch=epoch) for epoch in range(1, 11) for inner in (20, 40)]
    assert curves.iterations_per_epoch(records) == 46
    assert curves.iterations_per_epoch([record(20), record(40)]) is None


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
    assert (rates.get_xlabel(), rates.get_ylabel(), losses.get_ylabel()) == ('epoch', 'learning rate', 'training loss')
    assert [text.get_text() for text in losses.get_legend().get_texts()] == ['one', 'other']


def test_runs_are_drawn_by_iteration_as_soon_as_one_counts_no_epochs():
    figure = curves.draw_runs({'one': [record(4, epoch=1), record(8, epoch=2)], 'other': [record(5)]}, 0.9)
    assert figure.axes[1].get_xlabel() == 'iteration'
    assert list(figure.axes[0].lines[0].get_xdata()) == [4, 8]


def test_folders_of_one_name_are_told_apart(tmp_path):
    folders = [tmp_path / 'a/run', tmp_path / 'b/run', tmp_path / 'c/other']
    assert list(curves.name_runs(folders)) == [str(folders[0]), str(folders[1]), 'other']


def test_picture_and_summary_from_the_command_line(tmp_path, capsys):
    write_start(tmp_path / 'run', '20260101_000000', [record(20, 3.0, epoch=1), record(40, 2.0, epoch=2)])
    curves.main([str(tmp_path / 'run'), '--out', str(tmp_path / 'new/curves.png'), '--smoothing', '0'])
    assert 'run: loss 3.0000 at iteration 20, 2.0000 at 40 (2 records)' in capsys.readouterr().out
    with Image.open(tmp_path / 'new/curves.png') as picture:
        assert picture.size == (960, 720)
