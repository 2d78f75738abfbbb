"""Run a study: train and evaluate several configs, each with several seeds, and print a table.

    python tools/analysis_tools/study.py STUDY.py [--jobs 2] [--threads 1] [--table]

Only what is missing is run, so a study can be interrupted at any time: trainings resume from their last checkpoint.
Results go to STUDY.json beside the study, with the settings that they were made with, and are recomputed if those
change; runs go to work_dirs/studies/. A study is a file of settings, such as projects/studies/simmim.py:

    seeds; options, as in --cfg-options, for the training of every run
    runs = dict(NAME=dict(config=PRETRAINING, options={}, encoder=CONFIG)): `encoder` is the config for the evaluation
        (default: `config`); without `config`, the encoder is untrained
    evaluations = dict(NAME='arguments of mixmae evaluate')
    transfers = dict(NAME=dict(config=FINETUNING, options={}, metric='accuracy/top1')), from the checkpoint
    measures = ['EVALUATION.key', 'TRANSFER', 'train.loss', 'train.step']: columns; a loss is the mean of the last ten
        logged, a step the median in seconds, for which use --jobs 1
    baseline = RUN: differences to it are paired by seed; intervals over seeds are Student's t intervals
"""

import argparse
import json
import math
import os
import shlex
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

from mixmae_mm.utils import compat

compat.apply()  # before the libraries that it fixes

from mmengine.config import Config
from rich.console import Console
from rich.table import Table
from scipy.stats import t

from mixmae_mm.utils.arguments import counted, expanded
from mixmae_mm.utils.atomic_write import atomic_write
from mixmae_mm.utils.errors import readable_errors

TOOLS = Path(__file__).resolve().parents[1]
KNOWN = dict(runs={'config', 'options', 'encoder'}, transfers={'config', 'metric', 'options'})
KNOWN['a study'] = {'seeds', 'options', 'runs', 'evaluations', 'transfers', 'measures', 'baseline'}


class Study:
    """A study and its results so far; invalid settings raise a `ValueError`."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        settings = {key: x for key, x in Config.fromfile(path)._cfg_dict.to_dict().items() if not key.startswith('_')}
        check(settings)
        self.seeds, self.runs = settings.get('seeds', [0]), settings['runs']
        self.options, self.evaluations = settings.get('options', {}), settings.get('evaluations', {})
        self.transfers, self.measures = settings.get('transfers', {}), settings['measures']
        self.baseline, self.folder = settings.get('baseline'), Path('work_dirs/studies', path.stem)
        self.file = path.with_suffix('.json')
        self.results = json.loads(self.file.read_text()) if self.file.exists() else {}
        self.env = os.environ | {'OMP_NUM_THREADS': str(threads), 'MKL_NUM_THREADS': str(threads)}
        self.lock, self.stopped, self.processes = Lock(), False, set[subprocess.Popen]()

    def run(self, jobs: int) -> list[BaseException]:
        """Run what is missing, starting with the first seed of all runs; return the exceptions."""
        with ThreadPoolExecutor(jobs) as pool:
            done = [pool.submit(self.complete, name, seed) for seed in self.seeds for name in self.runs]
            try:
                return [failure for one in done if (failure := one.exception())]
            except KeyboardInterrupt:
                with self.lock:
                    self.stopped = True
                    for process in self.processes:
                        process.terminate()
                raise

    def complete(self, name: str, seed: int) -> None:
        """Train and evaluate one run with one seed, skipping what is done already."""
        run, folder, wanted = self.runs[name], self.folder / name / f'seed{seed}', self.wanted(name)
        missing = [title for title, how in wanted.items() if self.of(name, seed)['how'].get(title) != how]
        checkpoint = []
        if missing and 'config' in run:
            options = self.options | run.get('options', {})
            checkpoint = [str(self.train(run['config'], folder / 'train', seed, options))]
            lines = [line for line in logged(folder / 'train') if 'loss' in line]
            keys = [key for key in lines[-1] if key.startswith(('loss', 'topk'))]
            found = {f'train.{key}': statistics.mean(line[key] for line in lines[-10:]) for key in keys}
            self.note(name, seed, 'train', found | {'train.step': statistics.median(line['time'] for line in lines)})
        for title in missing:
            if title in self.evaluations:
                command = ['analysis_tools/evaluate.py', run.get('encoder', run.get('config')), *checkpoint]
                words = ['--json', '--seed', str(seed), *shlex.split(self.evaluations[title])]
                found = json.loads(self.call([*command, *words], folder, title).splitlines()[-1])
                self.note(name, seed, title, dict(flat(found, title)))
            elif title in self.transfers:
                self.note(name, seed, title, {title: self.transfer(title, folder, seed, checkpoint)})

    def transfer(self, title: str, folder: Path, seed: int, checkpoint: list[str]) -> float:
        """Fine-tune from a checkpoint, or from scratch, and return the metric at the end."""
        key, value = ('.checkpoint', checkpoint[0]) if checkpoint else ('', None)
        options = self.transfers[title].get('options', {}) | {f'model.backbone.init_cfg{key}': value}
        last = self.train(self.transfers[title]['config'], folder / title, seed, options)
        lines, metric = logged(folder / title), self.transfers[title]['metric']
        steps, found = [line['step'] for line in lines if 'loss' in line], [line for line in lines if metric in line]
        if not found or found[-1]['step'] not in (int(last.stem.rpartition('_')[2]), steps[-1]):
            raise ValueError(f'{folder / title} ended before its last validation logged {metric}: remove it')
        return found[-1][metric]

    def train(self, config: str, work_dir: Path, seed: int, options: dict) -> Path:
        """Train or resume a run, and return its last checkpoint; raise ValueError if its settings have changed."""
        settings = Config.fromfile(config)
        settings.merge_from_dict(options)
        loop, how = settings.train_cfg, work_dir / 'how.json'
        last = f'epoch_{loop.max_epochs}.pth' if 'max_epochs' in loop else f'iter_{loop.max_iters}.pth'
        wanted = json.dumps([config, options], sort_keys=True)
        if how.exists() and how.read_text() != wanted:
            raise ValueError(f'{work_dir} was trained with {how.read_text()}, not {wanted}: move it away')
        if not (work_dir / last).exists():
            work_dir.mkdir(parents=True, exist_ok=True)
            how.write_text(wanted)
            words = [f'{key}={value}' for key, value in (options | {'randomness.seed': seed}).items()]
            command = ['train.py', config, '--work-dir', str(work_dir), '--resume', '--cfg-options', *words]
            self.call(command, work_dir.parent, work_dir.name)
        return work_dir / last

    def call(self, command: list[str], folder: Path, title: str) -> str:
        """Run one of the tools and return what it prints; all of its output goes to a log file in the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        log, words = folder / f'{title}.log', [sys.executable, str(TOOLS / command[0]), *command[1:]]
        with log.open('a') as errors:
            with self.lock:
                if self.stopped:
                    raise InterruptedError('the study was stopped')
                process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=errors, text=True, env=self.env)
                self.processes.add(process)
            printed = process.communicate()[0]
            errors.write(printed)
        self.processes.discard(process)
        if process.returncode:
            raise ChildProcessError(f'{shlex.join(command)} ended with {process.returncode}: see {log}')
        return printed

    def wanted(self, name: str) -> dict[str, str]:
        """Return the settings that each part of a run depends on."""
        run = self.runs[name]
        train = json.dumps([run.get('config'), self.options | run.get('options', {})] if 'config' in run else None)
        parts = {title: [run.get('encoder', run.get('config')), words] for title, words in self.evaluations.items()}
        parts |= self.transfers
        hows = {title: f'{train} {json.dumps(part, sort_keys=True)}' for title, part in parts.items()}
        return {'train': train, **hows} if 'config' in run else hows

    def of(self, name: str, seed: int) -> dict[str, dict]:
        """Return the measures of a run, and the settings that each part was made with."""
        return self.results.get(name, {}).get(str(seed), dict(how={}, measures={}))

    def note(self, name: str, seed: int, title: str, measures: dict[str, float]) -> None:
        """Store the measures of a part of a run."""
        with self.lock:
            how = self.of(name, seed)['how'] | {title: self.wanted(name)[title]}
            kept = {key: x for key, x in self.of(name, seed)['measures'].items() if key.partition('.')[0] != title}
            self.results.setdefault(name, {})[str(seed)] = dict(how=how, measures=kept | measures)
            with atomic_write(self.file) as file:
                file.write(json.dumps(self.results, indent=1, sort_keys=True).encode() + b'\n')
            shown = ', '.join(f'{key} {measures[key]:.4g}' for key in self.measures if key in measures)
            print(f'{name}, seed {seed}: {title} done{shown and ": "}{shown}', flush=True)

    def table(self) -> Table:
        """Make a table of means and, below them, differences to the baseline, with intervals over seeds."""
        table = Table('run', title=f'{self.folder.name}: mean +- half of a 95 % interval (seeds)')
        for measure in self.measures:
            table.add_column(measure, justify='right')
        for name in self.runs:
            table.add_row(name, *(described(list(self.values(name, measure).values())) for measure in self.measures))
        for name in [run for run in self.runs if self.baseline not in (None, run)]:
            pairs = [(self.values(name, measure), self.values(self.baseline, measure)) for measure in self.measures]
            gains = [[ours[seed] - theirs[seed] for seed in ours if seed in theirs] for ours, theirs in pairs]
            table.add_row(f'{name} - {self.baseline}', *(described(gain, signed=True) for gain in gains))
        return table

    def values(self, name: str, measure: str) -> dict[int, float]:
        """Return a measure of a run for each seed that has it."""
        found = {seed: self.of(name, seed)['measures'].get(measure) for seed in self.seeds}
        return {seed: value for seed, value in found.items() if value is not None}


def check(settings: dict[str, Any]) -> None:
    """Raise a `ValueError` for settings that are unknown, missing, or refer to something unknown."""
    runs, titles = settings.get('runs', {}), [*settings.get('evaluations', {}), *settings.get('transfers', {}), 'train']
    parts = [(kind, part) for kind in ('runs', 'transfers') for part in settings.get(kind, {}).values()]
    parts.append(('a study', settings))
    wrong = [f'{key} is unknown to {where}' for where, part in parts for key in part if key not in KNOWN[where]]
    wrong += [f'{key} is missing' for key in ('runs', 'measures') if not settings.get(key)]
    wrong += [f'run {name} has neither config nor encoder' for name, run in runs.items() if not {*run} - {'options'}]
    wrong += [f'title {x} must be one word, once' for x in titles if titles.count(x) > 1 or '.' in x]
    wrong += [f'measure {x} is of no part' for x in settings.get('measures', []) if x.partition('.')[0] not in titles]
    wrong += [f'baseline {x} is no run' for x in [settings.get('baseline')] if x and x not in runs]
    if wrong:
        raise ValueError(f'this is no study: {"; ".join(wrong)}')


def flat(found: dict, prefix: str) -> Iterator[tuple[str, float]]:
    """Flatten the numbers of a nested result to names such as prefix.a.b; lists are left out."""
    for key, value in found.items():
        if isinstance(value, dict):
            yield from flat(value, f'{prefix}.{key}')
        elif isinstance(value, int | float):
            yield f'{prefix}.{key}', value


def logged(work_dir: Path) -> list[dict]:
    """Return what a training run has logged, in order."""
    files = sorted(work_dir.glob('*/vis_data/scalars.json'))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def described(values: list[float], signed: bool = False) -> str:
    """Format a mean, with its interval if there are two values or more."""
    mean = f'{statistics.mean(values):{"+" if signed else ""}.4g}' if values else '-'
    if len(values) < 2:
        return f'{mean} (1)' if values else mean
    half = t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return f'{mean} +- {half:.2g} ({len(values)})'


def main(arguments: list[str] | None = None) -> None:
    """Read the command line, run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('study', type=expanded, help='file of settings')
    parser.add_argument('--jobs', type=counted, default=2, help='runs at a time (%(default)s)')
    parser.add_argument('--threads', type=counted, default=1, help='of each (%(default)s)')
    parser.add_argument('--table', action='store_true', help='run nothing')
    parser.add_argument('--debug', action='store_true', help='show errors with their whole traceback')
    args = parser.parse_args(arguments)
    with readable_errors(args.debug):
        study = Study(args.study, args.threads)
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C
        try:
            failures = [] if args.table else study.run(args.jobs)
        finally:
            signal.signal(signal.SIGTERM, before)
        Console(width=160).print(study.table())
        if failures:
            raise ChildProcessError('\n'.join(str(failure) for failure in failures))


if __name__ == '__main__':
    main()
