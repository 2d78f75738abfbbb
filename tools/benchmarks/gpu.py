"""Run all checks that need a GPU, in nine minutes, with one command; without a GPU, rehearse them in toy size on a CPU.

    python tools/benchmarks/gpu.py --pack FOLDER        # with a network: wheels for a machine that has none
    pip install --no-index --no-deps --target FOLDER/site FOLDER/*.whl
    PYTHONPATH=FOLDER/site python tools/benchmarks/gpu.py --golden GOLDEN --data IMAGENETTE --out gpu.json

The last two run on that machine, in a clone; it must have Python 3.12, torch, torchvision, timm, numpy, SciPy,
scikit-image, OpenCV, Matplotlib, Pillow, rich, TensorBoard, regex, six and tqdm. GOLDEN is a folder with numbers of the
official code; IMAGENETTE has class folders in `train` and `val`; what needs a missing folder is skipped. Each part runs
in a separate process, so that it survives failures of earlier parts; it is started during the previous part, imports,
and waits. The JSON is rewritten after each part.
"""

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mixmae_mm.utils import compat
from mixmae_mm.utils.arguments import expanded
from mixmae_mm.utils.atomic_write import atomic_write

ROOT = Path(__file__).resolve().parents[2]
PLAN = {
    'parity': 60,
    'mixmae': 75,
    'mixmae-flex': 60,
    'mixmae-compiled': 90,
    'vit': 105,
    'dense': 30,
    'resume': 55,
    'nan': 25,
    'pretraining': 40,
}
"""Parts in order, the most valuable first, and the seconds that each may take; the last one gets all that are left."""
WHEELS = (
    'onedl-mmengine',
    'onedl-mmcv',
    'onedl-mmpretrain',
    'onedl-mmdetection',
    'onedl-mmsegmentation',
    'addict',
    'einops',
    'importlib-metadata',
    'zipp',
    'mat4py',
    'modelindex',
    'model-index',
    'ordered-set',
    'click',
    'termcolor',
    'yapf',
    'platformdirs',
    'ftfy',
    'imaug',
    'prettytable',
    'terminaltables',
)
"""Packages that a machine with PyTorch and timm lacks; this project's own wheel is made with them."""
COMPILED = ('pycocotools', 'shapely', 'wcwidth')
"""The same, fetched for that machine's Python and Linux."""
PYTHON = '312'
MOST_BYTES = 64 * 2**20


def pack_commands(folder: Path) -> list[list[str]]:
    """Return the commands that make the wheels; mmcv stays pure Python, because its isolated build finds no torch."""
    pip, options = [sys.executable, '-m', 'pip'], ['--no-deps', '--no-cache-dir', '--quiet']
    options += [f'--constraint={ROOT / "requirements" / name}.txt' for name in ('mminstall', 'dense')]
    target = ['--only-binary=:all:', '--implementation=cp', f'--python-version={PYTHON}']
    target += [f'--platform=manylinux{version}_x86_64' for version in ('2014', '_2_17', '_2_27', '_2_28')]
    return [
        [*pip, 'wheel', *options, '--wheel-dir', str(folder), *WHEELS, str(ROOT)],
        [*pip, 'download', *options, *target, '--dest', str(folder), *COMPILED],
    ]


def check_wheels(folder: Path) -> str:
    """Describe the wheels of a folder.

    Raise ValueError if there are none, they are too large, or one is for another Python or system.
    """
    wheels = sorted(folder.glob('*.whl'))
    size = sum(path.stat().st_size for path in wheels)
    fits = re.compile(rf'-none-any|-(abi3|cp{PYTHON})-manylinux[^-]*x86_64')
    others = [path.name for path in wheels if not fits.search(path.name)]
    if not wheels or others or size > MOST_BYTES:
        raise ValueError(
            f'{folder} has {len(wheels)} wheels of {size / 2**20:.1f} MiB in all, and {len(others)} are for another '
            f'Python than {PYTHON} or another system ({", ".join(others)}): the limit is 64 MiB, in an empty folder'
        )
    return f'{len(wheels)} wheels, {size / 2**20:.1f} MiB'


def start(command: list[str], log: Path) -> subprocess.Popen:
    """Start a part in a process group of its own; it waits for a line on stdin."""
    with log.open('wb') as file:
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=file, stderr=subprocess.STDOUT, preexec_fn=os.setpgrp
        )


def finish(process: subprocess.Popen, limit: float) -> str:
    """Let a part run, kill it with its child processes when its time is over, and return its status."""
    try:
        process.communicate(b'go\n', timeout=limit)
        return 'done' if process.returncode == 0 else f'ended with {process.returncode}'
    except subprocess.TimeoutExpired:
        return f'stopped after {limit:.0f} s'
    finally:
        end(process)


def end(process: subprocess.Popen) -> None:
    """Kill a part and its child processes."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def read_rows(path: Path) -> list[dict]:
    """Read the rows that a part has written, without an incomplete last one."""
    text = path.read_text() if path.exists() else ''
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith('\n')]


def run_plan(plan: dict[str, float], command: Callable[[str, Path], list[str]], out: Path, about: dict) -> dict:
    """Run the parts one after another, and write the report after each.

    `command` returns the command of a part, given its name and the file that it appends its rows to.
    """
    report, deadline = dict(about, parts={}), time.monotonic() + sum(plan.values())
    with tempfile.TemporaryDirectory() as folder:
        rows, logs = ({name: Path(folder, f'{name}.{kind}') for name in plan} for kind in ('jsonl', 'log'))
        waiting = {}
        try:
            for name, following in zip(plan, [*list(plan)[1:], None], strict=True):
                for part in {name, following} - {None, *waiting}:
                    waiting[part] = start(command(part, rows[part]), logs[part])
                begin = time.monotonic()
                left = deadline - begin
                status = finish(waiting.pop(name), min(plan[name], left) if following else left)
                tail = logs[name].read_text(errors='replace').splitlines()[-20:]
                part = dict(status=status, seconds=time.monotonic() - begin, rows=read_rows(rows[name]))
                report['parts'][name] = part if status == 'done' else dict(part, log=tail)
                with atomic_write(out) as file:
                    file.write(json.dumps(report, indent=2).encode())
        finally:
            for process in waiting.values():
                end(process)
    return report


def draw(report: dict) -> Table:
    """Make a table of a report."""
    table = Table(
        'part',
        'what',
        'result',
        title='A rehearsal on the CPU: ignore the numbers' if report['rehearsal'] else 'On a GPU',
    )
    for name, part in report['parts'].items():
        for row in part['rows']:
            numbers = {
                key: f'{x:.4g}' if isinstance(x, float) else x
                for key, x in row.items()
                if key not in ('what', 'passed')
            }
            verdict = {True: 'passed. ', False: 'FAILED. ', None: ''}[row.get('passed')]
            table.add_row(name, row['what'], verdict + ', '.join(f'{key} {x}' for key, x in numbers.items()))
        ended = '' if part['status'] == 'done' else ': ' + ' / '.join(part['log'][-3:])
        table.add_row(name, f'{part["seconds"]:.0f} s', part['status'] + ended, end_section=True)
    return table


def run_part(name: str, rows: Path, args: argparse.Namespace) -> None:
    """Import what the parts need, wait for a line on stdin, and run one of them."""
    from dataclasses import replace

    compat.apply()  # before torch
    from torchvision_ops import stand_in

    stand_in()  # before what imports mmcv's ops
    import gpu_parts
    from mmpretrain.utils import register_all_modules

    register_all_modules()
    gpu_parts.prepare(name)
    if not sys.stdin.readline():
        return  # the parent process is gone
    setup = replace(gpu_parts.TOY if args.rehearse else gpu_parts.FULL, golden=args.golden, data=args.data)
    with rows.open('a') as file:
        for row in gpu_parts.run(name, setup):
            print(json.dumps(row), file=file, flush=True)


def main() -> None:
    """Run the plan or a part of it, or pack the wheels that it needs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--golden', type=expanded, help='folder of numbers of the official code')
    parser.add_argument('--data', type=expanded, help='folder of photos with classes, train and val')
    parser.add_argument('--out', type=expanded, default='work_dirs/gpu.json', help='(%(default)s)')
    parser.add_argument(
        '--parts', nargs='+', choices=PLAN, default=list(PLAN), metavar='PART', help=f'(all) of {", ".join(PLAN)}'
    )
    parser.add_argument('--rehearse', action='store_true', help='small run on the CPU (the default without CUDA)')
    parser.add_argument(
        '--pack', type=expanded, metavar='FOLDER', help='build the wheels for a machine without network'
    )
    parser.add_argument('--rows', type=expanded, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.pack:
        for command in pack_commands(args.pack):
            subprocess.run(command, check=True)
        print(check_wheels(args.pack))
        return
    if args.rows:
        run_part(args.parts[0], args.rows, args)
        return
    import torch

    args.rehearse = args.rehearse or not torch.cuda.is_available()
    options = ['--rehearse'] * args.rehearse
    for name in ('golden', 'data'):
        options += [f'--{name}', str(getattr(args, name))] if getattr(args, name) else []

    def command(name: str, rows: Path) -> list[str]:
        """Return the command of a part."""
        return [sys.executable, __file__, '--parts', name, '--rows', str(rows), *options]

    args.out.parent.mkdir(parents=True, exist_ok=True)
    plan = {name: PLAN[name] for name in args.parts}
    Console(width=160).print(draw(run_plan(plan, command, args.out, dict(rehearsal=args.rehearse))))


if __name__ == '__main__':
    main()
