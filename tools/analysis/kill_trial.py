"""Kill a training with `kill -9` at random moments, resume it to its end, and compare that with a straight run's.

    python tools/analysis/kill_trial.py CONFIG --kills 20 [--seed 0] [--work-dir FOLDER] [--cfg-options a.b=value ...]

Take a config of seconds. Each training is a process of its own, started without loading the libraries anew. After each
kill every checkpoint that is there must load whole; at the end weights, optimizer and schedules must be equal to the
bit. A round is a training from its start to its end; there are as many as the kills need. The exit status is 1 if
anything differed.
"""

import argparse
import contextlib
import importlib
import os
import random
import signal
import sys
import time
from pathlib import Path

from mixmae_mm.failures import readable_errors  # before the host packages: mixmae_mm mends what breaks on import

# isort: split
import torch

from mixmae_mm.launching import Settings, load_config
from mixmae_mm.weights_file import read_file
from mixmae_mm.whole_files import UNFINISHED

sys.path.insert(0, str(Path(__file__).parents[1]))
import train

TRAINED = ('state_dict', 'optimizer', 'param_schedulers')


def load_host(scope: str) -> None:
    """Load what trainings would spend most of their seconds on, so that kills fall into the training itself."""
    for part in ('models', 'datasets', 'evaluation', 'visualization'):
        with contextlib.suppress(ImportError):
            importlib.import_module(f'{scope}.{part}')


def start(config: Path, work_dir: Path) -> int:
    """Start or resume a training in a process of its own; its number."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        os.setsid()  # so that its loader workers can be found
        with (work_dir.parent / f'{work_dir.name}.log').open('a') as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        sys.argv = ['train.py', str(config), '--work-dir', str(work_dir), '--resume']
        train.main()
        status = 0
    finally:
        os._exit(status)


def run(config: Path, work_dir: Path, seconds: float | None = None) -> bool:
    """Train until the end, or a kill after so many seconds; tell whether it came to its end.

    Raises:
        ValueError: it ended with an error.
    """
    process, started = start(config, work_dir), time.monotonic()
    ended, status = os.waitpid(process, os.WNOHANG if seconds is not None else 0)
    while not ended and time.monotonic() - started < seconds:
        time.sleep(0.005)
        ended, status = os.waitpid(process, os.WNOHANG)
    if not ended:
        os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)  # loader workers, which may take seconds to see it
    if status == signal.SIGKILL:
        return False
    if status:
        raise ValueError(f'training ended with an error: see {work_dir.parent / work_dir.name}.log')
    return True


def check_files(work_dir: Path) -> tuple[int, int]:
    """Read every checkpoint and give how many there are, and how many unfinished files.

    Raises:
        ValueError: one that is not whole.
    """
    whole = [read_file(str(path)) for path in work_dir.glob('*.pth')]
    if any(part not in content for content in whole for part in TRAINED):
        raise ValueError(f'a checkpoint in {work_dir} lacks some of {TRAINED}')
    return len(whole), len(list(work_dir.glob(f'*{UNFINISHED}')))


def last_of(work_dir: Path) -> dict:
    """Read the checkpoint that a run wrote last."""
    return read_file((work_dir / 'last_checkpoint').read_text().strip())


def same(one: object, other: object) -> bool:
    """Tell whether two nests of dicts, lists, tensors and numbers are equal to the bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return one == other


def kill_trial(config: Path, folder: Path, kills: int, seed: int) -> bool:
    """Train straight, then with kills; tell whether all rounds ended as the straight run."""
    moments = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    run(config, folder / 'straight')
    longest = time.monotonic() - started
    straight = last_of(folder / 'straight')
    print(f'straight run: iteration {straight["meta"]["iter"]} after {longest:.1f} s', flush=True)
    done, rounds, alike = 0, 0, []
    while done < kills:
        work_dir, ended = folder / f'round_{rounds}', False
        rounds += 1
        while not ended:
            seconds = moments.uniform(0, longest) if done < kills else None
            ended = run(config, work_dir, seconds)
            if not ended:
                done += 1
                count, unfinished = check_files(work_dir)
                found = f'{count} checkpoints, all whole, {unfinished} unfinished'
                print(f'kill {done} after {seconds:.2f} s: {found}', flush=True)
        resumed = last_of(work_dir)
        alike.append(all(same(straight[part], resumed[part]) for part in TRAINED))
        told = 'equal to the bit' if alike[-1] else 'NOT equal'
        print(f'round {rounds} ended at iteration {resumed["meta"]["iter"]}: {told}', flush=True)
    return all(alike)


def main(arguments: list[str] | None = None) -> None:
    """Make the trial and print what comes out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', type=Path, help='config file of a training of seconds')
    parser.add_argument('--kills', type=int, default=20, help='how many (20)')
    parser.add_argument('--seed', type=int, default=0, help='of the moments (0)')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/kill_trial'), help='a new folder')
    parser.add_argument('--cfg-options', nargs='+', action=Settings, help='config settings to override: a.b=value')
    parser.add_argument('--debug', action='store_true', help='show errors with their whole traceback')
    args = parser.parse_args(arguments)
    with readable_errors(args.debug):
        if args.work_dir.exists():
            raise ValueError(f'{args.work_dir} is there already: give a new folder by --work-dir, or remove it')
        config = load_config(args.config, args.cfg_options)
        args.work_dir.mkdir(parents=True)
        config.dump(args.work_dir / 'config.py')
        load_host(config.get('default_scope', 'mmengine'))
        if not kill_trial(args.work_dir / 'config.py', args.work_dir.absolute(), args.kills, args.seed):
            sys.exit('a resumed run did not end as the straight one')


if __name__ == '__main__':
    main()
