"""Logs of runs, read from their work_dirs: losses and validation metrics.

A record is what mmengine logs at one time, a dict of numbers. One of training has `loss`, `lr`, `step` (iterations so
far), maybe `epoch`, `loss_*` and more; any other is a finding: metrics of a validation, or of features in between.
Findings have `after`, the iteration logged before them, and `step`, which counts epochs or iterations.
"""

import fnmatch
import json
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from mixmae_mm.utils.stored_config import read_setting

Record = dict[str, float]
SCALARS, CONFIG = 'vis_data/scalars.json', 'vis_data/config.py'
METRICS = ('accuracy/*', '*/bbox_mAP', '*/segm_mAP', 'mIoU', 'online/*', 'single-label/*', 'multi-label/*')
ABOUT = ('step', 'epoch', 'iter', 'time', 'data_time', 'after')  # when, and how long it took: no metrics


def is_training(record: Record) -> bool:
    """Return whether a record is of training."""
    return {'loss', 'lr', 'step'} <= record.keys()


def read_records(file: Path) -> list[Record]:
    """Read the records of one start of a run; a truncated last line is left out, and what has no step."""
    records: list[Record] = []
    before = 0
    for line in file.read_text().splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if not isinstance(record, dict) or 'step' not in record:
            continue
        if is_training(record):
            before = record['step']
        else:
            record['after'] = before
        records.append(record)
    return records


def join_starts(starts: Iterable[list[Record]]) -> list[Record]:
    """Join what the starts of a run logged, first to last: a later one counts from where it resumed.

    What a later start found before its first iteration was logged is placed by that iteration.
    """
    joined: list[Record] = []
    for records in starts:
        first = next((record['step'] for record in records if is_training(record)), None)
        if first is not None:
            joined = [record for record in joined if record.get('after', record['step']) < first]
        joined += records
    return joined


def read_run(work_dir: Path) -> list[Record]:
    """Read all records of a work_dir.

    Raises:
        ValueError: none is of training.
    """
    files = sorted(work_dir.glob(f'*/{SCALARS}')) or list(work_dir.glob(SCALARS))
    records = join_starts(read_records(file) for file in files)
    if not any(is_training(record) for record in records):
        raise ValueError(f'no training loss in {work_dir}/*/{SCALARS}: give the work_dir of a run that logged one')
    return records


def iterations_per_epoch(records: Sequence[Record]) -> int | None:
    """Return how many iterations an epoch has, or None for runs that count iterations only.

    Logging stops short of an epoch's end by less than an interval, so the later the epoch, the closer the ratio; it
    never exceeds the true number.
    """
    training = [record for record in records if is_training(record)]
    ratios = [record['step'] / record['epoch'] for record in training if record.get('epoch')]
    return math.ceil(max(ratios)) if ratios and len(ratios) == len(training) else None


def place_in_iterations(record: Record, length: int | None) -> float:
    """Return after which iteration a record was made, in a run with epochs of `length` iterations.

    mmengine logs findings by epoch where the run counts epochs, other hooks by iteration: a step below the iteration
    that was logged before can only be an epoch.
    """
    if length is None or is_training(record) or 'iter' in record or record['step'] >= max(record['after'], 1):
        return record['step']
    return record['step'] * length


def metrics_of(records: Iterable[Record], patterns: Sequence[str] = METRICS) -> list[str]:
    """List what was found, by name, where it matches a pattern such as 'online/*'; also in records of training."""
    names = dict.fromkeys(name for record in records for name in record if name not in ABOUT)
    return [name for name in names if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]


def named(records: Iterable[Record], start: str) -> list[str]:
    """List the logged values whose names begin so, by the number at their end, else as logged."""
    names = dict.fromkeys(name for record in records for name in record if name.startswith(start))
    return sorted(names, key=lambda name: int((re.findall(r'\d+$', name) or [0])[0]))


def read_chance(work_dir: Path) -> float | None:
    """Return the TopK precision of guessing: one over the sources, or None if they do not share equally."""
    files = sorted(work_dir.glob(f'*/{CONFIG}')) or list(work_dir.glob(CONFIG))
    model = read_setting(files[-1], 'model') if files else None
    mixing = model.get('data_preprocessor') or {} if isinstance(model, dict) else {}
    even = 'num_sources' in mixing and not (mixing.get('shares') or mixing.get('mask_ratio'))
    return 1 / mixing['num_sources'] if even else None


def name_runs(folders: Sequence[Path]) -> dict[str, Path]:
    """Name each run by its folder, or by its path where two folders have one name."""
    names = [folder.resolve().name for folder in folders]
    pairs = zip(names, folders, strict=True)
    return {name if names.count(name) == 1 else str(folder): folder for name, folder in pairs}
