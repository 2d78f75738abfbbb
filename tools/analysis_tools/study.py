"""Run a study: several configs, each with several seeds, trained, evaluated, and laid out in a table.

    python tools/analysis_tools/study.py STUDY.py [--jobs 2] [--threads 1] [--table]

What is missing is run, so that a study may be interrupted at will: trainings go on from their last checkpoint. Results
go to STUDY.json beside the study, runs to work_dirs/studies/. A study is a file of settings:

    seeds = [0, 1, 2]
    options = {'train_cfg.max_epochs': 20}  # as --cfg-options, of every training
    runs = dict(
        told=dict(config='configs/mixmae/CONFIG.py'),
        all=dict(config='configs/mixmae/CONFIG.py', options={'model.masked_attention': False}),
        other=dict(config='configs/simmim/CONFIG.py', encoder='configs/mixmae/CONFIG.py'),  # evaluated by that
        untrained=dict(encoder='configs/mixmae/CONFIG.py'),  # as initialized
    )
    evaluations = dict(knn='--train data/train --val data/val')  # arguments of `mixmae evaluate`
    transfers = dict(  # trainings from the checkpoint; the number that their last validation has
        finetune=dict(config='configs/classification/CONFIG.py', metric='accuracy/top1', options={}))
    measures = ['knn.top1', 'finetune', 'train.step']  # columns; the last are the seconds of a training step
    baseline = 'all'  # differences to it are paired by seed

An interval is that of Student's t for 95 %, over seeds.
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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

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
SETTINGS = {'seeds', 'runs', 'options', 'evaluations', 'transfers', 'measures', 'baseline'}
OF_RUNS = {'config', 'options', 'encoder'}


class Study:
    """A study and what is known of it so far.

    Raises:
        ValueError: settings that are unknown or missing.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        self.settings, self.results_file = Config.fromfile(path)._cfg_dict.to_dict(), path.with_suffix('.json')
        self.folder = Path('work_dirs/studies', path.stem)
        self.environment = os.environ | {'OMP_NUM_THREADS': str(threads), 'MKL_NUM_THREADS': str(threads)}
        self.processes: set[subprocess.Popen] = set()
        self.lock, self.stopped = Lock(), False
        unknown = {key for key in self.settings if not key.startswith('_')} - SETTINGS
        unknown |= {key for run in self.settings.get('runs', {}).values() for key in set(run) - OF_RUNS}
        if unknown or not self.settings.get('runs') or not self.settings.get('measures'):
            raise ValueError(f'{path} needs runs and measures of {sorted(SETTINGS)}; unknown: {sorted(unknown)}')
        self.runs, self.seeds = self.settings['runs'], self.settings.get('seeds', [0])
        self.results = json.loads(self.results_file.read_text()) if self.results_file.exists() else {}

    def run(self, jobs: int) -> None:
        """Run what is missing, the first seed of all runs first; if one fails, the others go on, and it is raised."""
        with ThreadPoolExecutor(jobs) as pool:
            done = [pool.submit(self.complete, name, seed) for seed in self.seeds for name in self.runs]
            try:
                failures = [one.exception() for one in done]
            except KeyboardInterrupt:
                self.stop()
                raise
        for failure in filter(None, failures):
            raise failure

    def stop(self) -> None:
        """End what runs, and start nothing more."""
        self.stopped = True
        for process in list(self.processes):
            process.terminate()

    def complete(self, name: str, seed: int) -> None:
        """Train and evaluate one run with one seed, as far as it is not done."""
        run, folder, known = self.runs[name], self.folder / name / f'seed{seed}', self.of(name, seed)
        checkpoint = []
        if 'config' in run:
            options = self.settings.get('options', {}) | run.get('options', {})
            checkpoint = [str(self.train(run['config'], folder / 'train', seed, options))]
            self.note(name, seed, {'train.step': statistics.median(logged(folder / 'train', 'time'))})
        encoder = run.get('encoder', run.get('config'))
        for title, words in self.settings.get('evaluations', {}).items():
            if not any(measure.partition('.')[0] == title for measure in known):
                command = ['analysis_tools/evaluate.py', encoder, *checkpoint, '--json', '--seed', str(seed)]
                found = json.loads(self.call([*command, *shlex.split(words)], folder, title).splitlines()[-1])
                self.note(name, seed, {f'{title}.{key}': x for key, x in flat(found).items()})
        for title, transfer in self.settings.get('transfers', {}).items():
            if title not in known:
                start = {'model.backbone.init_cfg.checkpoint': checkpoint[0]} if checkpoint else {}
                start = start or {'model.backbone.init_cfg': None}
                options = transfer.get('options', {}) | start
                self.train(transfer['config'], folder / title, seed, options)
                self.note(name, seed, {title: logged(folder / title, transfer['metric'])[-1]})

    def train(self, config: str, work_dir: Path, seed: int, options: dict) -> Path:
        """Train, or go on with it, and return the last checkpoint."""
        settings = Config.fromfile(config)
        settings.merge_from_dict(options)
        loop = settings.train_cfg
        last = f'epoch_{loop.max_epochs}.pth' if 'max_epochs' in loop else f'iter_{loop.max_iters}.pth'
        if not (work_dir / last).exists():
            words = [f'{key}={value}' for key, value in (options | {'randomness.seed': seed}).items()]
            command = ['train.py', config, '--work-dir', str(work_dir), '--resume', '--cfg-options', *words]
            self.call(command, work_dir.parent, work_dir.name)
        return work_dir / last

    def call(self, command: list[str], folder: Path, title: str) -> str:
        """Run one of the tools and return what it prints; what it logs goes to a file in the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / f'{title}.log'
        with log.open('a') as errors:
            with self.lock:
                if self.stopped:
                    raise InterruptedError('the study was stopped')
                words = [sys.executable, str(TOOLS / command[0]), *command[1:]]
                process = subprocess.Popen(
                    words, stdout=subprocess.PIPE, stderr=errors, text=True, env=self.environment
                )
                self.processes.add(process)
            printed = process.communicate()[0]
            errors.write(printed)
        self.processes.discard(process)
        if process.returncode:
            raise ChildProcessError(f'{shlex.join(command)} ended with {process.returncode}: see {log}')
        return printed

    def of(self, name: str, seed: int) -> dict[str, float]:
        """Return the measures of a run."""
        return self.results.get(name, {}).get(str(seed), {})

    def note(self, name: str, seed: int, measures: dict[str, float]) -> None:
        """Keep measures of a run."""
        with self.lock:
            self.results.setdefault(name, {}).setdefault(str(seed), {}).update(measures)
            with atomic_write(self.results_file) as file:
                file.write(json.dumps(self.results, indent=1, sort_keys=True).encode() + b'\n')

    def table(self) -> Table:
        """Lay out means, and below them differences to the baseline, with intervals over seeds."""
        baseline = self.settings.get('baseline')
        table = Table(title=f'{self.folder.name}: mean +- half of the 95 % interval (seeds)')
        table.add_column('run')
        for measure in self.settings['measures']:
            table.add_column(measure, justify='right')
        for name in self.runs:
            known = [list(self.values(name, measure).values()) for measure in self.settings['measures']]
            table.add_row(name, *map(described, known))
        for name in self.runs if baseline else ():
            cells = [self.gain(name, baseline, measure) for measure in self.settings['measures']]
            if name != baseline:
                table.add_row(f'{name} - {baseline}', *cells)
        return table

    def gain(self, name: str, baseline: str, measure: str) -> str:
        """Describe the difference to the baseline with the same seeds."""
        ours, theirs = self.values(name, measure), self.values(baseline, measure)
        return described([ours[seed] - theirs[seed] for seed in ours if seed in theirs], signed=True)

    def values(self, name: str, measure: str) -> dict[int, float]:
        """Return a measure of a run for each seed that has it."""
        return {seed: self.of(name, seed)[measure] for seed in self.seeds if measure in self.of(name, seed)}


def flat(found: dict, prefix: str = '') -> dict[str, float]:
    """Name the numbers of a nested result, without lists: a.b."""
    numbers = {}
    for key, value in found.items():
        if isinstance(value, dict):
            numbers |= flat(value, f'{prefix}{key}.')
        elif isinstance(value, int | float) and not isinstance(value, bool):
            numbers[prefix + key] = value
    return numbers


def logged(work_dir: Path, key: str) -> list[float]:
    """Return what a training has logged under a key, in order.

    Raises:
        ValueError: nothing.
    """
    files = sorted(work_dir.glob('*/vis_data/scalars.json'))
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    found = [line[key] for line in lines if key in line]
    if not found:
        raise ValueError(f'no log below {work_dir} has {key}')
    return found


def described(values: list[float], signed: bool = False) -> str:
    """Write a mean, and its interval where there are two values or more."""
    if not values:
        return '-'
    mean = f'{statistics.mean(values):{"+" if signed else ""}.4g}'
    if len(values) == 1:
        return f'{mean} (1)'
    half = t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return f'{mean} +- {half:.2g} ({len(values)})'


def parse_args(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('study', type=expanded, help='file of settings')
    parser.add_argument('--jobs', type=counted, default=2, help='runs at a time (%(default)s)')
    parser.add_argument('--threads', type=counted, default=1, help='of each (%(default)s)')
    parser.add_argument('--table', action='store_true', help='run nothing')
    parser.add_argument('--debug', action='store_true', help='show errors with their whole traceback')
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing, and print the table."""
    args = parse_args(arguments)
    with readable_errors(args.debug):
        study = Study(args.study, args.threads)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
        if not args.table:
            study.run(args.jobs)
        Console(width=160).print(study.table())


if __name__ == '__main__':
    main()
