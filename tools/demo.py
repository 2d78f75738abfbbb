"""The whole way in a few minutes on a CPU: pre-train a micro model, look at it, judge it, fine-tune it.

    make demo                     MixMAE on the built-in images
    make demo METHOD=mixedae      MixedAE
    make demo DATA=/any/folder    only the pre-training and the images, on your own
    make demo-dense               Mask R-CNN and UperNet, from scratch and from the encoder of `make demo`

Everything goes through the same tools and configs that you would use; each command is printed before it runs. Results
lie in work_dirs/demo, a folder a method. An interrupted pre-training is resumed; a finished one starts again.
"""

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
IMAGES = 'data/shapes'
OUT = Path('work_dirs/demo')
console = Console()
started = time.monotonic()


@dataclass(frozen=True)
class Method:
    """What the demo of a method runs, in place of the configs' epochs so many that all takes less than 8 minutes."""

    title: str
    pretrain: str
    finetune: str
    scratch: str
    epochs: int
    finetune_epochs: int


@dataclass(frozen=True)
class Task:
    """A dense task, its configs, and which logged numbers it is judged by."""

    title: str
    config: str
    scratch: str
    metrics: dict[str, tuple[str, float]]
    """What to call a number; its name in the log, and the factor that makes it a percentage."""


METHODS = dict(
    mixmae=Method(
        'MixMAE',
        'configs/mixmae/mixmae_mixmim-swin-micro_1xb64-coslr-40e_shapes-64px.py',
        'configs/classification/mixmim-swin-micro_1xb64-coslr-10e_shapes-64px.py',
        'configs/classification/mixmim-swin-micro-scratch_1xb64-coslr-10e_shapes-64px.py',
        epochs=25,
        finetune_epochs=10,
    ),
    mixedae=Method(
        'MixedAE',
        'configs/mixedae/mixedae_vit-micro-p8_1xb64-coslr-40e_shapes-64px.py',
        'configs/classification/vit-micro-p8_1xb64-coslr-10e_shapes-64px.py',
        'configs/classification/vit-micro-p8-scratch_1xb64-coslr-10e_shapes-64px.py',
        epochs=20,
        finetune_epochs=4,  # an epoch of it costs four of the Swin's
    ),
)


TASKS = dict(
    detection=Task(
        'Mask R-CNN',
        'configs/detection/mask-rcnn_mixmim-swin-micro_fpn_1xb16-6e_shapes-64px.py',
        'configs/detection/mask-rcnn_mixmim-swin-micro-scratch_fpn_1xb16-6e_shapes-64px.py',
        {'box AP': ('coco/bbox_mAP', 100), 'mask AP': ('coco/segm_mAP', 100)},
    ),
    segmentation=Task(
        'UperNet',
        'configs/segmentation/upernet_mixmim-swin-micro_1xb16-8e_shapes-64px.py',
        'configs/segmentation/upernet_mixmim-swin-micro-scratch_1xb16-8e_shapes-64px.py',
        {'mIoU': ('mIoU', 1), 'pixel accuracy': ('aAcc', 1)},
    ),
)
DENSE = OUT / 'dense'
SHOWN = 12  # images with predictions


def run(tool: str, *options: object, capture: bool = False) -> str:
    """Run one of the tools with this Python, showing the command; stop the demo if it fails."""
    words = [tool, *(str(option) for option in options)]
    console.print(f'[dim]$ python {shlex.join(words)}[/dim]', highlight=False, soft_wrap=True)
    done = subprocess.run([sys.executable, *words], cwd=ROOT, text=True, stdout=subprocess.PIPE if capture else None)
    if done.returncode:
        console.print(f'[red]{tool} ended with code {done.returncode}; what it said stands above.[/red]')
        sys.exit(done.returncode)
    return done.stdout or ''


def headline(text: str) -> None:
    """Announce a step, with the time since the start."""
    console.rule(f'[bold]{text}[/bold]  [dim]{time.monotonic() - started:.0f} s[/dim]', align='left')


def pretrain(work_dir: Path, tool: str, *options: object) -> Path:
    """Pre-train, or finish an interrupted pre-training, and return the last checkpoint."""
    marker = ROOT / work_dir / 'finished'
    if marker.exists():
        shutil.rmtree(ROOT / work_dir)
    run(tool, *options)
    marker.touch()
    return last_checkpoint(work_dir)


def pretrain_on_built_in_images(name: str) -> Path:
    """Pre-train a method on the built-in set, and return the last checkpoint."""
    method, work_dir = METHODS[name], OUT / name / 'pretrain'
    headline(f'{method.title}: pre-training without labels')
    settings = ['--cfg-options', f'train_cfg.max_epochs={method.epochs}']
    return pretrain(work_dir, 'tools/train.py', method.pretrain, '--work-dir', work_dir, '--resume', 'auto', *settings)


def last_checkpoint(work_dir: Path) -> Path:
    """Return the last checkpoint of a run, wherever its folder was moved."""
    return work_dir / Path((ROOT / work_dir / 'last_checkpoint').read_text().strip()).name


def draw(config: str | Path, work_dir: Path, checkpoint: Path, images: str) -> list[Path]:
    """Draw reconstructions and training curves beside the run's folder, and return their paths."""
    drawings = [work_dir.with_name(f'{work_dir.name}_{what}.png') for what in ('reconstructions', 'curves')]
    options = ['--images', images, '--out', drawings[0]]
    run('tools/visualization/visualize.py', 'reconstruct', config, checkpoint, *options)
    run('tools/visualization/training_curves.py', work_dir, '--out', drawings[1])
    return drawings


def neighbors(config: str, checkpoint: Path | None) -> float:
    """Classify the validation images by their nearest neighbors; return the top-1 accuracy in percent."""
    folders = ['--train', f'{IMAGES}/train', '--val', f'{IMAGES}/val', '--json']
    given = [checkpoint] if checkpoint else []
    return json.loads(run('tools/analysis_tools/evaluate.py', config, *given, *folders, capture=True))['top1'] * 100


def train_anew(config: str, work_dir: Path, *settings: str) -> dict[str, float]:
    """Train from the start, and return the last value of everything that was logged."""
    shutil.rmtree(ROOT / work_dir, ignore_errors=True)
    options = ['--cfg-options', *settings] if settings else []
    run('tools/train.py', config, '--work-dir', work_dir, *options)
    logged: dict[str, float] = {}
    for line in next((ROOT / work_dir).glob('*/vis_data/scalars.json')).read_text().splitlines():
        logged |= json.loads(line)
    return logged


def finetune(config: str, epochs: int, work_dir: Path, *settings: str) -> float:
    """Fine-tune from the start, and return the last top-1 accuracy in percent."""
    return train_anew(config, work_dir, f'train_cfg.max_epochs={epochs}', *settings)['accuracy/top1']


def report(title: str, headings: tuple[str, str], rows: list[tuple[str, float, float]], images: list[Path]) -> None:
    """Print the numbers without and with pre-training, and where the images are."""
    table = Table(title=title)
    for heading in ('', *headings):
        table.add_column(heading, justify='right' if heading else 'left')
    for name, without, pretrained in rows:
        table.add_row(name, f'{without:.1f}', f'{pretrained:.1f}')
    if rows:
        console.print(table)
    console.print('Look at:', *(f'\n  {path}' for path in images), highlight=False)
    console.print(f'TensorBoard: .venv/bin/tensorboard --logdir {OUT}', highlight=False)
    console.print(f'{time.monotonic() - started:.0f} s in all, after the installation', highlight=False)


def demo_on_own_images(name: str, data: str) -> None:
    """Pre-train on a user's folder and draw."""
    method, work_dir = METHODS[name], OUT / name / f'own_{Path(data).name}'
    headline(f'{method.title}: pre-training on {data}')
    options = ['--method', name, '--size', 'micro', '--out', work_dir, '--epochs', method.epochs, '--resume']
    checkpoint = pretrain(work_dir, 'tools/pretrain.py', data, *options)
    headline('Drawing')
    report('', ('', ''), [], draw(work_dir / 'pretrain.py', work_dir, checkpoint, data))


def demo_on_built_in_images(name: str) -> None:
    """Go the whole way on the built-in set, which has labels."""
    method, out = METHODS[name], OUT / name
    checkpoint = pretrain_on_built_in_images(name)
    headline('Drawing what it reconstructs')
    images = draw(method.pretrain, out / 'pretrain', checkpoint, f'{IMAGES}/val')
    headline('Nearest neighbors: untrained against pre-trained')
    knn = ('20 nearest neighbors', *(neighbors(method.pretrain, weights) for weights in (None, checkpoint)))
    headline('Fine-tuning: from scratch against pre-trained')
    epochs, weights = method.finetune_epochs, f'model.backbone.init_cfg.checkpoint={checkpoint}'
    scratch = finetune(method.scratch, epochs, out / 'scratch')
    finetuned = finetune(method.finetune, epochs, out / 'finetune', weights)
    headline('What came out')
    title = 'top-1 accuracy on the validation images, % (chance: 10)'
    headings = ('without pre-training', f'with {method.title}')
    report(title, headings, [knn, ('fine-tuning', scratch, finetuned)], images)
    console.print('Neighbors of mean features say little about shapes; see docs/results.md.')


def compare(name: str, encoder: Path) -> list[tuple[str, float, float]]:
    """Train a task from scratch and from the encoder; return each metric of both in percent, 0 if nothing is logged."""
    task = TASKS[name]
    headline(f'{task.title}: from scratch against pre-trained')
    runs = [
        train_anew(task.scratch, DENSE / name / 'scratch'),
        train_anew(task.config, DENSE / name / 'pretrained', f'model.backbone.init_cfg.checkpoint={encoder}'),
    ]
    return [
        (f'{task.title}, {metric}', *(logged.get(key, 0.0) * factor for logged in runs))
        for metric, (key, factor) in task.metrics.items()
    ]


def draw_predictions(name: str) -> Path:
    """Draw the predictions of the pre-trained model on some images, and return their folder."""
    folder, work_dir = DENSE / name / 'predictions', DENSE / name / 'pretrained'
    shutil.rmtree(ROOT / folder, ignore_errors=True)
    number = sum(1 for path in (ROOT / IMAGES / 'val').rglob('*.*') if path.is_file())
    chosen = ','.join(str(index * number // SHOWN) for index in range(SHOWN))  # they may be sorted by class
    folders = ['--work-dir', DENSE / name / 'test', '--show-dir', ROOT / folder]
    settings = ['--cfg-options', f'test_dataloader.dataset.indices=[{chosen}]']
    run('tools/test.py', TASKS[name].config, last_checkpoint(work_dir), *folders, *settings)
    return folder


def demo_of_dense_tasks(tasks: list[str]) -> None:
    """Train detection and segmentation on the built-in set, from scratch and from the demo's encoder."""
    found = OUT / 'mixmae/pretrain'
    done = (ROOT / found / 'finished').exists()
    encoder = last_checkpoint(found) if done else pretrain_on_built_in_images('mixmae')
    rows = [row for name in tasks for row in compare(name, encoder)]
    headline('Drawing predictions')
    folders = [draw_predictions(name) for name in tasks]
    headline('What came out')
    report('on the validation images, %', ('from scratch', 'pre-trained'), rows, folders)


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and go."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--method', choices=METHODS, default='mixmae', help='what to pre-train (%(default)s)')
    parser.add_argument('--data', help='a folder of your own images, of any kind and depth')
    parser.add_argument('--dense', action='store_true', help='train detection and segmentation: half an hour')
    parser.add_argument('--task', choices=TASKS, nargs='+', default=list(TASKS), help='of --dense (both)')
    args = parser.parse_args(arguments)
    try:
        if args.dense or not args.data:
            headline('Making the built-in images')
            run('tools/dataset_tools/make_shapes.py', IMAGES)
        if args.dense:
            demo_of_dense_tasks(args.task)
        elif args.data:
            demo_on_own_images(args.method, str(Path(args.data).expanduser().resolve()))
        else:
            demo_on_built_in_images(args.method)
    except KeyboardInterrupt:
        console.print('Interrupted. The same command resumes the pre-training.')
        sys.exit(130)


if __name__ == '__main__':
    main()
