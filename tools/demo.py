"""Demo of the whole workflow in five minutes on a CPU: pre-train a micro model, evaluate what it has learned, draw it.

    make demo                     MixMAE on the built-in images
    make demo METHOD=mixedae      MixedAE
    make demo DATA=/any/folder    only the pre-training and the figures, on your own images
    make demo-dense               Mask R-CNN, from scratch and from the encoder of `make demo`

It runs the tools and configs that you would use, and prints each command first. Results are in work_dirs/demo, one
folder per method. An interrupted pre-training is resumed; a finished one starts again.
"""

import argparse
import contextlib
import json
import math
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

ROOT = Path(__file__).resolve().parents[1]
IMAGES = 'data/materials'
OUT = Path('work_dirs/demo')
PER_CLASS, DRAWS = 18, 5  # labeled images, and random draws of them, for the row with few labels
NUM_VAL, CLASSES = 1400, 14
MASKS = ('--train-masks', f'{IMAGES}/masks/train')
EVALUATE, VISUALIZE = 'tools/analysis_tools/evaluate.py', 'tools/visualization/visualize.py'
WHITENED = 64  # principal components
SHORT_WARMUP = ('param_scheduler.0.end=1', 'param_scheduler.1.begin=1')
ONE_WORKER = ('train_dataloader.num_workers=1', 'val_dataloader.num_workers=1')  # because two runs share the cores
console = Console(highlight=False)
started = time.monotonic()


@dataclass(frozen=True)
class Method:
    """What the demo of a method runs, with fewer epochs than the config, so that it takes less than 5 minutes."""

    title: str
    pretrain: str
    epochs: int
    stages: tuple[int, ...]
    """Indices of the encoder's maps that the dense probe uses."""
    knn: bool = True
    """Whether k-NN is in the table, in which each row must improve by two standard errors with each of three seeds."""


class Row(NamedTuple):
    """A line of the final table, in percent; `error` is the standard error of the last number."""

    name: str
    numbers: Sequence[float | None]
    error: float | None = None


METHODS = dict(
    mixmae=Method(
        'MixMAE',
        'configs/mixmae/mixmae_mixmim-swin-micro_1xb64-coslr-40e_materials-64px.py',
        epochs=10,
        stages=(0, 1, 2),
    ),
    mixedae=Method(
        'MixedAE',
        'configs/mixedae/mixedae_vit-micro-p8_1xb64-coslr-40e_materials-64px.py',
        epochs=14,
        stages=(1, 3, 5),
        knn=False,
    ),
)
DETECTOR = 'configs/detection/mask-rcnn_mixmim-swin-micro_fpn_1xb16-20e_materials276-64px.py'
FROM_SCRATCH = 'configs/detection/mask-rcnn_mixmim-swin-micro-scratch_fpn_1xb16-20e_materials276-64px.py'
DETECTION = OUT / 'dense/detection'
SHOWN = 12  # images with predictions


def run(*commands: Sequence[object], show: bool = False) -> list[str]:
    """Run tools with this Python, in parallel, and return what they print, or with `show` let them print it directly.

    The commands are printed first. If one fails, its output is shown and the demo stops.
    """
    lines = [[str(word) for word in command] for command in commands]
    for words in lines:
        console.print(f'[dim]$ python {escape(shlex.join(words))}[/dim]', soft_wrap=True)
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile('w+')) for _ in lines]
        pipes = [{} if show else dict(stdout=file, stderr=subprocess.STDOUT) for file in files]
        threads = max(1, len(os.sched_getaffinity(0)) // len(lines))  # more threads than cores slow torch down
        env = os.environ | {'OMP_NUM_THREADS': str(threads)}
        tools = [
            subprocess.Popen([sys.executable, *words], cwd=ROOT, env=env, **pipe)
            for words, pipe in zip(lines, pipes, strict=True)
        ]
        if not show:
            stack.enter_context(console.status('running'))
        for tool, words, file in zip(tools, lines, files, strict=True):
            wait_for(tool, silent=not show)
            file.seek(0)
            if tool.returncode:
                for other in tools:
                    other.terminate()
                console.print(f'{file.read()}\n{words[0]} ended with code {tool.returncode}.', markup=False)
                sys.exit(tool.returncode)
        return [file.read() for file in files]


def wait_for(tool: subprocess.Popen, silent: bool) -> None:
    """Wait for a tool to end; if it is silent and there is no terminal, print a line every 20 seconds."""
    while True:
        try:
            tool.wait(20)
            return
        except subprocess.TimeoutExpired:
            if silent and not console.is_terminal:
                console.print(f'... {time.monotonic() - started:.0f} s')


def headline(text: str) -> None:
    """Announce a step, with the time since the start."""
    console.rule(f'[bold]{text}[/bold]  [dim]{time.monotonic() - started:.0f} s[/dim]', align='left')


def pretrain(work_dir: Path, tool: str, *options: object) -> Path:
    """Pre-train, or finish an interrupted pre-training, and return the last checkpoint."""
    marker = ROOT / work_dir / 'finished'
    if marker.exists():
        shutil.rmtree(ROOT / work_dir)
    run([tool, *options, '--quiet'], show=True)
    marker.touch()
    return last_checkpoint(work_dir)


def pretrain_on_built_in_images(name: str, seed: int = 0) -> Path:
    """Pre-train a method on the built-in set, and return the last checkpoint."""
    method, work_dir = METHODS[name], OUT / name / 'pretrain'
    headline(f'{method.title}: pre-training without labels')
    settings = ['--cfg-options', f'train_cfg.max_epochs={method.epochs}', *SHORT_WARMUP, f'randomness.seed={seed}']
    return pretrain(work_dir, 'tools/train.py', method.pretrain, '--work-dir', work_dir, '--resume', 'auto', *settings)


def last_checkpoint(work_dir: Path) -> Path:
    """Return the last checkpoint of a run, even if its folder was moved."""
    return work_dir / Path((ROOT / work_dir / 'last_checkpoint').read_text().strip()).name


def draw(config: str | Path, work_dir: Path, checkpoint: Path, images: str, *more: Sequence[object]) -> list[Path]:
    """Draw reconstructions, patch features as colors, training curves and more; return the paths of the figures."""
    options = [config, checkpoint, '--images', images]
    commands = {
        'reconstructions': [VISUALIZE, 'reconstruct', *options],
        'patch_features': [VISUALIZE, 'pca', *options],
        'curves': ['tools/visualization/training_curves.py', work_dir],
        **{str(command[1]): command for command in more},
    }
    drawings = [work_dir.with_name(f'{work_dir.name}_{kind}.png') for kind in commands]
    outs = [[*command, '--out', out] for command, out in zip(commands.values(), drawings, strict=True)]
    for start in range(0, len(outs), 2):
        run(*outs[start : start + 2])
    return drawings


def evaluate(method: Method, checkpoint: Path, seed: int) -> list[Row]:
    """Evaluate the frozen features of an untrained encoder and of the pre-trained one, on images and on pixels."""
    folders = ['--train', f'{IMAGES}/train', '--val', f'{IMAGES}/val', '--seed', seed, '--json']
    by_image = [*folders, '--linear-probe', '--few-labels', PER_CLASS, '--draws', DRAWS, '--whiten', WHITENED]
    by_pixel = [*folders, *MASKS, '--val-masks', f'{IMAGES}/masks/val', '--stages', *method.stages]
    encoders = [method.pretrain], [method.pretrain, checkpoint]
    images, pixels = (
        [json.loads(text.rstrip().splitlines()[-1]) for text in run(*([EVALUATE, *of, *options] for of in encoders))]
        for options in (by_image, by_pixel)
    )
    histograms, scores = color_histograms(), [one['ridge'] for one in pixels]
    neighbors = [
        accuracy_row(f'k-NN, {WHITENED} whitened components', 'top1', images, histograms[0]),
        accuracy_row(f'the same with {PER_CLASS * CLASSES} labels', 'top1', [few_labels(one) for one in images]),
    ]
    return [
        *(neighbors if method.knn else []),
        accuracy_row('linear probe', 'probe_top1', images, histograms[1]),
        Row('dense probe, mIoU', [None, *(100 * one['miou'] for one in scores)], 100 * scores[1]['miou_error']),
    ]


def accuracy_row(name: str, key: str, results: Sequence[dict], histogram: float | None = None) -> Row:
    """Make a row of accuracies on the validation images, with the standard error of the last.

    For a mean over several draws, the variance of that mean is added.
    """
    accuracies = [result[key] for result in results]
    of_draws = results[-1].get('std', 0) ** 2 / DRAWS
    error = math.sqrt(accuracies[-1] * (1 - accuracies[-1]) / NUM_VAL + of_draws)
    return Row(name, [histogram, *(100 * accuracy for accuracy in accuracies)], 100 * error)


def few_labels(result: dict) -> dict:
    """Return the k-NN accuracy with few labels, the mean of several draws."""
    few = result['few_labels'][str(PER_CLASS)]['top1']
    return dict(top1=few['mean'], std=few['std'])


def color_histograms() -> tuple[float, float]:
    """Evaluate color histograms as features: k-NN and linear probe, top-1 in percent."""
    import cv2
    import torch

    from mixmae_mm import evaluation

    parts, classes = [], evaluation.class_folders(str(ROOT / IMAGES / 'train'))
    for split in ('train', 'val'):
        files = sorted((ROOT / IMAGES / split).glob('*/*.jpg'))
        counts = [cv2.calcHist([cv2.imread(str(file))], [0, 1, 2], None, [6] * 3, [0, 256] * 3) for file in files]
        roots = torch.stack([torch.from_numpy(count).flatten().sqrt() for count in counts])
        parts += [roots, torch.tensor([classes.index(file.parent.name) for file in files])]
    knn = evaluation.knn_accuracy(*parts, k=20, temperature=0.07, num_classes=len(classes))
    return 100 * knn, 100 * evaluation.probe_accuracy(*parts, num_classes=len(classes))


def train_anew(*runs: Sequence[object]) -> list[dict[str, float]]:
    """Train each (config, work_dir, settings ...) from the start, in parallel; return the last values logged."""
    commands = []
    for config, work_dir, *settings in runs:
        shutil.rmtree(ROOT / work_dir, ignore_errors=True)
        commands.append(['tools/train.py', config, '--work-dir', work_dir, '--quiet', '--cfg-options', *settings])
    run(*commands)
    return [logged_values(work_dir) for _, work_dir, *_ in runs]


def logged_values(work_dir: Path) -> dict[str, float]:
    """Return the last value of everything that a run has logged."""
    logged: dict[str, float] = {}
    for line in next((ROOT / work_dir).glob('*/vis_data/scalars.json')).read_text().splitlines():
        logged |= json.loads(line)
    return logged


def report(title: str, headings: Sequence[str], rows: Sequence[Row], images: Sequence[Path]) -> None:
    """Print the numbers, with standard errors where they are known, and where the figures are."""
    headings = [*headings, *['+-'] * any(row.error for row in rows)]
    table = Table('', *(Column(heading, justify='right') for heading in headings), title=title)
    for name, numbers, error in rows:
        cells = [*numbers, error][: len(headings)]
        table.add_row(name, *('' if cell is None else f'{cell:.1f}' for cell in cells))
    if rows:
        console.print(table)
    console.print('Look at:', *(f'\n  {path}' for path in images))
    console.print(f'{time.monotonic() - started:.0f} s in total, after the installation')


def demo_on_own_images(name: str, data: str) -> None:
    """Pre-train on a user's folder, and draw the figures."""
    method, work_dir = METHODS[name], OUT / name / f'own_{Path(data).name}'
    headline(f'{method.title}: pre-training on {data}')
    options = ['--method', name, '--size', 'micro', '--out', work_dir, '--epochs', method.epochs, '--resume']
    checkpoint = pretrain(work_dir, 'tools/pretrain.py', data, *options)
    headline('Drawing')
    config = work_dir / 'pretrain.py'
    neighbors = [VISUALIZE, 'neighbors', config, checkpoint, '--of', data, '--among', data, '--whiten', WHITENED]
    report('', (), [], draw(config, work_dir, checkpoint, data, neighbors))


def demo_on_built_in_images(name: str, seed: int) -> None:
    """Run the whole demo on the built-in set, which has labels and masks."""
    method, out = METHODS[name], OUT / name
    checkpoint = pretrain_on_built_in_images(name, seed)
    headline('What do the frozen features know? Untrained against pre-trained')
    rows = evaluate(method, checkpoint, seed)
    headline('Drawing')
    shown = ['--images', f'{IMAGES}/val', '--masks', f'{IMAGES}/masks/val']
    segmentation = [
        VISUALIZE,
        'segmentation',
        method.pretrain,
        checkpoint,
        '--train',
        f'{IMAGES}/train',
        *MASKS,
        *shown,
    ]
    segmentation += ['--stages', *method.stages]
    images = draw(method.pretrain, out / 'pretrain', checkpoint, f'{IMAGES}/val', segmentation)
    headline('What came out')
    title = f'Top-1 and mIoU, %, of {NUM_VAL} images of {CLASSES} materials; +- is the standard error'
    report(title, ('colors', 'untrained', method.title), rows, images)
    conclude(method, rows)


def conclude(method: Method, rows: Sequence[Row]) -> None:
    """Print the result in one sentence, and what to do next."""
    row = next(row for row in rows if row.name == 'linear probe')
    colors, before, after = row.numbers
    raised = 'raised' if after - before > 2 * row.error else 'did not raise'
    console.print(
        f'[bold]Without a single label, {method.epochs} epochs of {method.title} on a CPU {raised} a linear classifier '
        f'of {CLASSES} materials from {before:.0f} to {after:.0f} %; colors alone give {colors:.0f}.[/bold]'
    )
    console.print('Next, on your own images: make demo DATA=/your/folder, or docs/pretrain.md')


def compare(encoder: Path, seed: int) -> Row:
    """Train a detector from scratch and from the encoder; return the mask AP of both, 0 if nothing is logged.

    It is the metric that improves by two standard errors with each of three seeds (docs/results.md).
    """
    headline('Mask R-CNN: from scratch against pre-trained')
    weights = f'model.backbone.init_cfg.checkpoint={encoder}'
    runs = [FROM_SCRATCH, DETECTION / 'scratch'], [DETECTOR, DETECTION / 'pretrained', weights]
    results = train_anew(*([*settings, *ONE_WORKER, f'randomness.seed={seed}'] for settings in runs))
    return Row('Mask R-CNN, mask AP', [100 * logged.get('coco/segm_mAP', 0.0) for logged in results])


def draw_predictions() -> Path:
    """Draw the predictions of the pre-trained detector on some images, and return their folder."""
    folder = DETECTION / 'predictions'
    shutil.rmtree(ROOT / folder, ignore_errors=True)
    number = sum(1 for path in (ROOT / IMAGES / 'val').rglob('*.*') if path.is_file())
    chosen = ','.join(str(index * number // SHOWN) for index in range(SHOWN))  # images may be sorted by class
    folders = ['--work-dir', DETECTION / 'test', '--show-dir', ROOT / folder]
    settings = ['--cfg-options', f'test_dataloader.dataset.indices=[{chosen}]']
    run(['tools/test.py', DETECTOR, last_checkpoint(DETECTION / 'pretrained'), *folders, '--quiet', *settings])
    return folder


def demo_of_detection(seed: int) -> None:
    """Train a detector on the built-in set, from scratch and from the demo's encoder."""
    found = OUT / 'mixmae/pretrain'
    done = (ROOT / found / 'finished').exists()
    encoder = last_checkpoint(found) if done else pretrain_on_built_in_images('mixmae', seed)
    row = compare(encoder, seed)
    headline('Drawing predictions')
    folder = draw_predictions()
    headline('What came out')
    title = f'After training on a tenth of the labels, on {NUM_VAL} validation images, %'
    report(title, ('from scratch', 'pre-trained'), [row], [folder])


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and run the demo."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--method', choices=METHODS, default='mixmae', help='what to pre-train (%(default)s)')
    parser.add_argument('--data', help='a folder of your own images, of any kind and depth')
    parser.add_argument('--dense', action='store_true', help='train a detector, which takes longer')
    parser.add_argument(
        '--seed', type=int, default=0, help='for everything random but the built-in images (%(default)s)'
    )
    args = parser.parse_args(arguments)
    try:
        if args.dense or not args.data:
            headline('Drawing the built-in images')
            run(['tools/dataset_tools/make_materials.py', IMAGES], show=True)
        if args.dense:
            demo_of_detection(args.seed)
        elif args.data:
            demo_on_own_images(args.method, str(Path(args.data).expanduser().resolve()))
        else:
            demo_on_built_in_images(args.method, args.seed)
    except KeyboardInterrupt:
        console.print('Interrupted. The same command resumes the pre-training.')
        sys.exit(130)


if __name__ == '__main__':
    main()
