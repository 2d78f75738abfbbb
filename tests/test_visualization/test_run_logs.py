import json

import pytest

from mixmae_mm.visualization import run_logs


def record(step, loss=1.0, **others):
    """One of training."""
    return dict(step=step, loss=loss, lr=0.1, **others)


def write_start(work_dir, timestamp, lines):
    file = work_dir / timestamp / run_logs.SCALARS
    file.parent.mkdir(parents=True)
    file.write_text(''.join(line if isinstance(line, str) else json.dumps(line) + '\n' for line in lines))


def test_resumed_run_counts_from_where_the_later_start_takes_over():
    first = [record(10, 5), record(20, 4), record(30, 3)]
    second = [record(25, 2), record(35, 1)]
    joined = run_logs.join_starts([first, [], second])
    assert [(one['step'], one['loss']) for one in joined] == [(10, 5), (20, 4), (25, 2), (35, 1)]


def test_folders_of_one_run_are_read_in_order_of_time_and_foreign_lines_left_out(tmp_path):
    write_start(tmp_path, '20260102_000000', [record(40, 2.0)])
    write_start(tmp_path, '20260101_000000', [record(20, 3.0), {'accuracy/top1': 9.0, 'step': 1}, '{"loss": 2.5, "ste'])
    found = run_logs.read_run(tmp_path)
    assert [one.get('loss') for one in found] == [3.0, None, 2.0]
    assert found[1] == {'accuracy/top1': 9.0, 'step': 1, 'after': 20}


def test_epoch_length_is_found_from_records_that_stop_short_of_each_epochs_end():
    records = [record((epoch - 1) * 46 + inner, epoch=epoch) for epoch in range(1, 11) for inner in (20, 40)]
    assert run_logs.iterations_per_epoch(records) == 46
    assert run_logs.iterations_per_epoch([record(20), record(40)]) is None


@pytest.mark.parametrize(
    ('mixing', 'chance'),
    [
        (dict(num_sources=4), 0.25),
        (dict(num_sources=2, mask_ratio=None), 0.5),
        (dict(num_sources=2, shares=[0.6, 0.4]), None),
        (dict(num_sources=2, mask_ratio=0.4), None),
        (dict(type='other'), None),
    ],
)
def test_chance_is_read_from_the_config_of_the_last_start(tmp_path, mixing, chance):
    assert run_logs.read_chance(tmp_path) is None
    for timestamp, settings in (('20260101_000000', dict(num_sources=8)), ('20260102_000000', mixing)):
        file = tmp_path / timestamp / run_logs.CONFIG
        file.parent.mkdir(parents=True)
        file.write_text(f'num_sources = 16\nmodel = dict(data_preprocessor={settings!r})\n')
    assert run_logs.read_chance(tmp_path) == chance


def test_folders_of_one_name_are_distinguished(tmp_path):
    folders = [tmp_path / 'a/run', tmp_path / 'b/run', tmp_path / 'c/other']
    assert list(run_logs.name_runs(folders)) == [str(folders[0]), str(folders[1]), 'other']


def found(step, after, **metrics):
    return dict(step=step, after=after, **metrics)


def test_what_was_found_after_the_point_where_a_later_start_resumes_is_dropped():
    first = [record(10), found(1, 10, top1=1), record(20), found(2, 20, top1=2), record(30), found(3, 30, top1=3)]
    second = [found(2, 0, top1=9), record(25), found(3, 25, top1=5)]
    kept = [one['top1'] for one in run_logs.join_starts([first, second]) if 'top1' in one]
    assert kept == [1, 2, 9, 5]
    assert [one['top1'] for one in run_logs.join_starts([first, [found(4, 0, top1=7)]]) if 'top1' in one] == [
        1,
        2,
        3,
        7,
    ]


def test_a_run_that_only_validated_has_no_training_loss(tmp_path):
    write_start(tmp_path, '20260101_000000', [{'accuracy/top1': 9.0, 'step': 1}])
    with pytest.raises(ValueError, match=r'^no training loss in .*scalars\.json: give the work_dir of a run'):
        run_logs.read_run(tmp_path)


@pytest.mark.parametrize(
    ('one', 'length', 'iteration'),
    [
        (record(230), 46, 230),
        (found(5, 220, top1=1), 46, 230),  # mmengine: the fifth epoch
        (found(230, 220, online=1), 46, 230),  # a hook that logs by iteration
        (found(5, 220, top1=1, iter=5), 46, 5),  # given as one
        (found(5, 0, top1=1), 46, 5),
        (found(200, 220, top1=1), None, 200),  # no epochs
    ],
)
def test_findings_are_placed_by_epoch_or_by_iteration(one, length, iteration):
    assert run_logs.place_in_iterations(one, length) == iteration


def test_length_of_an_epoch_is_reported_by_training_only():
    records = [record(40, epoch=1), found(1, 40, top1=1), record(86, epoch=2)]
    assert run_logs.iterations_per_epoch(records) == 43
    assert run_logs.iterations_per_epoch([found(1, 0, top1=1)]) is None


def test_metrics_by_pattern():
    names = ('accuracy/top1', 'coco/bbox_mAP', 'coco/bbox_mAP_50', 'mIoU', 'mAcc', 'online/knn_top1', 'data_time')
    records = [record(1), found(1, 1, **dict.fromkeys(names, 1.0))]
    assert run_logs.metrics_of(records) == ['accuracy/top1', 'coco/bbox_mAP', 'mIoU', 'online/knn_top1']
    assert run_logs.metrics_of(records, ['*_50', 'mA*']) == ['coco/bbox_mAP_50', 'mAcc']
    assert run_logs.metrics_of(records, []) == []
    assert run_logs.metrics_of([record(1) | {'online/rankme': 3.0}]) == ['online/rankme']
