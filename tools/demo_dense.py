"""What pre-training is worth in detection and segmentation, in half an hour on a CPU: `make demo-dense`.

Mask R-CNN and UperNet are trained on the built-in images, each from scratch and from the encoder that `make demo` has
pre-trained (which is done first where it is missing). Everything goes through the same tools and configs that you would
use; each command is printed before it runs. Results lie in work_dirs/demo/dense, a folder a task.
"""

import argparse
import shutil
from dataclasses import dataclass
from pathlib import Path

from demo import IMAGES, METHODS, OUT, ROOT, console, headline, pretrain, run, train_anew
from PIL import Image
from rich.table import Table

FOLDER = OUT / 'dense'
SHOWN, COLUMNS, SIDE = 12, 3, 256


@dataclass(frozen=True)
class Task:
    """A task, its configs, and which logged numbers it is judged by."""

    title: str
    config: str
    scratch: str
    metrics: dict[str, tuple[str, float]]
    """What to call a number; its name in the log, and the factor that makes it a percentage."""


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


def find_encoder() -> Path:
    """Return the encoder that the demo has pre-trained, or pre-train it."""
    method, work_dir = METHODS['mixmae'], OUT / 'mixmae/pretrain'
    if (ROOT / work_dir / 'finished').exists():
        return work_dir / Path((ROOT / work_dir / 'last_checkpoint').read_text().strip()).name
    headline('MixMAE: pre-training without labels')
    return pretrain(method.pretrain, method.epochs, work_dir)


def compare(name: str, encoder: Path) -> list[tuple[str, float, float]]:
    """Train a task from scratch and from the encoder; give each metric of both in percent.

    Where a model predicts nothing at all, its host logs nothing: that is 0.
    """
    task = TASKS[name]
    headline(f'{task.title}: from scratch against pre-trained')
    runs = [
        train_anew(task.scratch, FOLDER / name / 'scratch'),
        train_anew(task.config, FOLDER / name / 'pretrained', f'model.backbone.init_cfg.checkpoint={encoder}'),
    ]
    return [
        (f'{task.title}, {metric}', *(logged.get(key, 0.0) * factor for logged in runs))
        for metric, (key, factor) in task.metrics.items()
    ]


def paint(name: str) -> Path:
    """Have the pre-trained model's predictions painted on some images; give one sheet of them."""
    task, work_dir = TASKS[name], FOLDER / name / 'pretrained'
    checkpoint = work_dir / Path((ROOT / work_dir / 'last_checkpoint').read_text().strip()).name
    painted = ROOT / FOLDER / name / 'painted'
    shutil.rmtree(painted, ignore_errors=True)
    number = sum(1 for path in (ROOT / IMAGES / 'val').rglob('*.*') if path.is_file())
    spread = ','.join(str(index * number // SHOWN) for index in range(SHOWN))  # they may be sorted by class
    settings = ['--cfg-options', f'test_dataloader.dataset.indices=[{spread}]']
    folders = ['--work-dir', FOLDER / name / 'test', '--show-dir', painted]
    run('tools/test.py', task.config, checkpoint, *folders, *settings)
    return sheet(sorted(painted.rglob('*.png')) + sorted(painted.rglob('*.jpg')), ROOT / FOLDER / f'{name}.png')


def sheet(images: list[Path], out: Path) -> Path:
    """Put images side by side in rows, each `SIDE` pixels high."""
    tiles = [Image.open(path).convert('RGB') for path in images[:SHOWN]]
    tiles = [tile.resize((round(tile.width * SIDE / tile.height), SIDE), Image.Resampling.BICUBIC) for tile in tiles]
    width = max(tile.width for tile in tiles)
    rows = -(-len(tiles) // COLUMNS)
    canvas = Image.new('RGB', (COLUMNS * (width + 8), rows * (SIDE + 8)), 'white')
    for index, tile in enumerate(tiles):
        canvas.paste(tile, (index % COLUMNS * (width + 8), index // COLUMNS * (SIDE + 8)))
    canvas.save(out)
    return out.relative_to(ROOT)


def report(rows: list[tuple[str, float, float]], sheets: list[Path]) -> None:
    """Print what came out, and where the painted images lie."""
    table = Table(title='on the validation images, %')
    for heading in ('', 'from scratch', 'pre-trained'):
        table.add_column(heading, justify='right' if heading else 'left')
    for name, scratch, pretrained in rows:
        table.add_row(name, f'{scratch:.1f}', f'{pretrained:.1f}')
    console.print(table)
    console.print('Look at:', *(f'\n  {path}' for path in sheets), highlight=False)


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and go."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--task', choices=TASKS, nargs='+', default=list(TASKS), help='what to train (both)')
    args = parser.parse_args(arguments)
    headline('Making the built-in images')
    run('tools/dataset_tools/make_shapes.py', IMAGES)
    encoder = find_encoder()
    rows = [row for name in args.task for row in compare(name, encoder)]
    headline('Painting what they predict')
    sheets = [paint(name) for name in args.task]
    headline('What came out')
    report(rows, sheets)


if __name__ == '__main__':
    main()
