"""Time an exported encoder: onnxruntime and torch.export's program against PyTorch, on the same images, in turns.

    python tools/benchmarks/exported.py mixmim-swin-base [--size 224 224] [--batch 8] [--repeats 7] [--threads 2]

Weights are as initialized: they do not change the time. Prints medians, and how far the outputs differ.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import mixmae_mm
from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

import onnxruntime
import torch

from mixmae_mm.apis import export, get_model, list_models


def session_of(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """Open a file with so many threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])


def medians(runs: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the median seconds of each, run in turns after one round that does not count."""
    times = {name: [] for name in runs}
    for _ in range(repeats + 1):
        for name, run in runs.items():
            begun = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - begun)
    return {name: statistics.median(seconds[1:]) for name, seconds in times.items()}


def main(arguments: list[str] | None = None) -> None:
    """Export, time, print."""
    parser = argparse.ArgumentParser(description=f'Time exported encoders (mixmae_mm {mixmae_mm.__version__})')
    parser.add_argument('model', choices=list_models(), help='name of the encoder')
    parser.add_argument('--size', type=int, nargs=2, default=(224, 224), metavar=('H', 'W'), help='of the images')
    parser.add_argument('--batch', type=int, default=8, help='images at a time (%(default)s)')
    parser.add_argument('--repeats', type=int, default=7, help='rounds that count (%(default)s)')
    parser.add_argument('--threads', type=int, default=2, help='of each (%(default)s)')
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    portable, size = export.Portable(get_model(args.model)), tuple(args.size)
    images = portable.example(size, args.batch)
    with TemporaryDirectory() as folder, torch.no_grad():
        program = export.trace(portable, size)
        path = Path(folder, 'encoder.onnx')
        difference = export.export_onnx(portable, path, size)
        session, traced, fed = session_of(path, args.threads), program.module(), dict(images=images.numpy())
        runs = dict(
            PyTorch=lambda: portable(images),
            onnxruntime=lambda: session.run(None, fed),
            program=lambda: traced(images),
        )
        times = medians(runs, args.repeats)
    print(f'{args.model}, {size[0]} x {size[1]}, batches of {args.batch}, {args.threads} threads')
    for name, seconds in times.items():
        speed = f'{args.batch / seconds:6.1f} images/s, {times["PyTorch"] / seconds:5.2f} times PyTorch'
        print(f'{name:12} {seconds:7.3f} s, {speed}')
    print(f'onnxruntime differs by {difference:.1e} of the largest value')


if __name__ == '__main__':
    main()
