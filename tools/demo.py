"""The whole way in a few minutes on a CPU: pre-train a micro model, look at it, judge it, fine-tune it.

    make demo                     MixMAE on the built-in images
    make demo METHOD=mixedae      MixedAE
    make demo DATA=/any/folder    only the pre-training and the images, on your own

Everything goes through the same tools and configs that you would use; each command is printed before it runs. Results
lie in work_dirs/demo, a folder a method. An interrupted pre-training goes on where it stopped; a finished one is made
anew.
"""

import argparse
import hashlib
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


def pretrain(config: str | Path, epochs: int, work_dir: Path) -> Path:
    """Pre-train, or finish an interrupted pre-training; return the last checkpoint."""
    marker = ROOT / work_dir / 'finished'
    if marker.exists():
        shutil.rmtree(ROOT / work_dir)
    settings = ['--cfg-options', f'train_cfg.max_epochs={epochs}']
    run('tools/train.py', config, '--work-dir', work_dir, '--resume', 'auto', *settings)
    marker.touch()
    return work_dir / Path((ROOT / work_dir / 'last_checkpoint').read_text().strip()).name


def draw(config: str | Path, work_dir: Path, checkpoint: Path, images: str) -> list[Path]:
    """Draw reconstructions and training curves beside the run's folder; return their paths."""
    drawings = [work_dir.with_name(f'{work_dir.name}_{what}.png') for what in ('reconstructions', 'curves')]
    options = ['--images', images, '--out', drawings[0]]
    run('tools/visualization/reconstructions.py', config, checkpoint, *options)
    run('tools/visualization/training_curves.py', work_dir, '--out', drawings[1])
    return drawings


def neighbors(config: str, checkpoint: Path | None) -> float:
    """Classify the validation images by their nearest neighbors; return the top-1 accuracy in percent."""
    folders = ['--train', f'{IMAGES}/train', '--val', f'{IMAGES}/val', '--json']
    given = [checkpoint] if checkpoint else []
    return json.loads(run('tools/analysis_tools/knn.py', config, *given, *folders, capture=True))['top1'] * 100


def train_anew(config: str, work_dir: Path, *settings: str) -> dict[str, float]:
    """Train from the start; return the last value of everything that was logged."""
    shutil.rmtree(ROOT / work_dir, ignore_errors=True)
    options = ['--cfg-options', *settings] if settings else []
    run('tools/train.py', config, '--work-dir', work_dir, *options)
    logged: dict[str, float] = {}
    for line in next((ROOT / work_dir).glob('*/vis_data/scalars.json')).read_text().splitlines():
        logged |= json.loads(line)
    return logged


def finetune(config: str, epochs: int, work_dir: Path, *settings: str) -> float:
    """Fine-tune anew; return the last top-1 accuracy in percent."""
    return train_anew(config, work_dir, f'train_cfg.max_epochs={epochs}', *settings)['accuracy/top1']


def report(title: str, out: Path, rows: list[tuple[str, float, float]], images: list[Path]) -> None:
    """Print what came out of the method of that title, and where the images lie."""
    table = Table(title='top-1 accuracy on the validation images, % (chance: 10)')
    for heading in ('', 'without pre-training', f'with {title}'):
        table.add_column(heading, justify='right' if heading else 'left')
    for name, without, pretrained in rows:
        table.add_row(name, f'{without:.1f}', f'{pretrained:.1f}')
    if rows:
        console.print(table)
        console.print('Neighbors of mean features say little about shapes; see docs/results.md.')
    console.print('Look at:', *(f'\n  {path}' for path in images), highlight=False)
    console.print(f'TensorBoard: .venv/bin/tensorboard --logdir {out}', highlight=False)
    console.print(f'{time.monotonic() - started:.0f} s in all, after the installation', highlight=False)


def own_config(base: str, out: Path, data: str) -> Path:
    """Write the config for a user's folder: what inherits ours and names the folder is all it takes."""
    name = f'own_{hashlib.sha256(data.encode()).hexdigest()[:8]}'
    config = out / f'{name}.py'
    (ROOT / out).mkdir(parents=True, exist_ok=True)
    up = '../' * len(out.parts)
    settings = f"_base_ = '{up}{base}'\n\ntrain_dataloader = dict(dataset=dict(data_root={data!r}))\n"
    (ROOT / config).write_text(settings)
    return config


def demo_on_own_images(method: Method, out: Path, data: str) -> None:
    """Pre-train on a user's folder and draw."""
    headline(f'{method.title}: pre-training on {data}')
    config = own_config(method.pretrain, out, data)
    checkpoint = pretrain(config, method.epochs, out / config.stem)
    headline('Drawing')
    report(method.title, out, [], draw(config, out / config.stem, checkpoint, data))


def demo_on_built_in_images(method: Method, out: Path) -> None:
    """Go the whole way on the built-in set, which has labels."""
    headline('Making the built-in images')
    run('tools/dataset_tools/make_shapes.py', IMAGES)
    headline(f'{method.title}: pre-training without labels')
    checkpoint = pretrain(method.pretrain, method.epochs, out / 'pretrain')
    headline('Drawing what it reconstructs')
    images = draw(method.pretrain, out / 'pretrain', checkpoint, f'{IMAGES}/val')
    headline('Nearest neighbors: untrained against pre-trained')
    knn = ('20 nearest neighbors', *(neighbors(method.pretrain, weights) for weights in (None, checkpoint)))
    headline('Fine-tuning: from scratch against pre-trained')
    epochs, weights = method.finetune_epochs, f'model.backbone.init_cfg.checkpoint={checkpoint}'
    scratch = finetune(method.scratch, epochs, out / 'scratch')
    finetuned = finetune(method.finetune, epochs, out / 'finetune', weights)
    headline('What came out')
    report(method.title, out, [knn, ('fine-tuning', scratch, finetuned)], images)


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and go."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--method', choices=METHODS, default='mixmae', help='what to pre-train (%(default)s)')
    parser.add_argument('--data', help='a folder of your own images, of any kind and depth')
    args = parser.parse_args(arguments)
    method, out = METHODS[args.method], OUT / args.method
    try:
        if args.data:
            demo_on_own_images(method, out, str(Path(args.data).expanduser().resolve()))
        else:
            demo_on_built_in_images(method, out)
    except KeyboardInterrupt:
        console.print('Interrupted. The same command goes on with the pre-training where it stopped.')
        sys.exit(130)


if __name__ == '__main__':
    main()
