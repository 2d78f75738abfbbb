"""The whole way in a few minutes on a CPU: pre-train a micro MixMAE, look at it, judge it, fine-tune it.

    make demo                     on the built-in pictures
    make demo DATA=/any/folder    only the pre-training and the pictures, on your own

Everything goes through the same tools and configs that you would use; each command is printed before it runs. Results
lie in work_dirs/demo. An interrupted pre-training goes on where it stopped; a finished one is made anew.
"""

import argparse
import hashlib
import json
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
PRETRAIN = 'configs/mixmae/mixmae_mixmim-swin-micro_1xb64-coslr-40e_shapes-64px.py'
FINETUNE = 'configs/classification/mixmim-swin-micro_1xb64-coslr-10e_shapes-64px.py'
SCRATCH = 'configs/classification/mixmim-swin-micro-scratch_1xb64-coslr-10e_shapes-64px.py'
EPOCHS = 25  # in place of the config's 40: the whole demo is to take less than 8 minutes on 2 cores
PICTURES = 'data/shapes'
OUT = Path('work_dirs/demo')
console = Console()
started = time.monotonic()


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


def pretrain(config: str | Path, work_dir: Path) -> Path:
    """Pre-train, or finish an interrupted pre-training; give the last checkpoint."""
    marker = ROOT / work_dir / 'finished'
    if marker.exists():
        shutil.rmtree(ROOT / work_dir)
    settings = ['--cfg-options', f'train_cfg.max_epochs={EPOCHS}']
    run('tools/train.py', config, '--work-dir', work_dir, '--resume', 'auto', *settings)
    marker.touch()
    return work_dir / Path((ROOT / work_dir / 'last_checkpoint').read_text().strip()).name


def draw(config: str | Path, work_dir: Path, checkpoint: Path, pictures: str) -> list[Path]:
    """Draw reconstructions and training curves; give their paths."""
    drawings = [OUT / f'{work_dir.name}_{what}.png' for what in ('reconstructions', 'curves')]
    options = ['--pictures', pictures, '--out', drawings[0]]
    run('tools/visualization/reconstructions.py', config, checkpoint, *options)
    run('tools/visualization/training_curves.py', work_dir, '--out', drawings[1])
    return drawings


def neighbours(checkpoint: Path | None) -> float:
    """Classify the validation pictures by their nearest neighbours; give the top-1 accuracy in percent."""
    folders = ['--train', f'{PICTURES}/train', '--val', f'{PICTURES}/val', '--json']
    given = [checkpoint] if checkpoint else []
    return json.loads(run('tools/analysis/knn.py', PRETRAIN, *given, *folders, capture=True))['top1'] * 100


def finetune(config: str, work_dir: Path, *settings: str) -> float:
    """Fine-tune anew; give the last top-1 accuracy in percent."""
    shutil.rmtree(ROOT / work_dir, ignore_errors=True)
    options = ['--cfg-options', *settings] if settings else []
    run('tools/train.py', config, '--work-dir', work_dir, *options)
    scalars = next((ROOT / work_dir).glob('*/vis_data/scalars.json'))
    values = [json.loads(line).get('accuracy/top1') for line in scalars.read_text().splitlines()]
    return [value for value in values if value is not None][-1]


def report(rows: list[tuple[str, float, float]], pictures: list[Path]) -> None:
    """Print what came out, and where the pictures lie."""
    table = Table(title='top-1 accuracy on the validation pictures, % (chance: 10)')
    for heading in ('', 'without pre-training', 'with MixMAE'):
        table.add_column(heading, justify='right' if heading else 'left')
    for name, without, pretrained in rows:
        table.add_row(name, f'{without:.1f}', f'{pretrained:.1f}')
    if rows:
        console.print(table)
        console.print('Neighbours of mean features tell little of shapes; see docs/results.md.')
    console.print('Look at:', *(f'\n  {path}' for path in pictures), highlight=False)
    console.print(f'TensorBoard: .venv/bin/tensorboard --logdir {OUT}', highlight=False)
    console.print(f'{time.monotonic() - started:.0f} s in all, after the installation', highlight=False)


def own_config(data: str) -> Path:
    """Write the config for a user's folder: what inherits ours and names the folder is all it takes."""
    name = f'own_{hashlib.sha256(data.encode()).hexdigest()[:8]}'
    config = OUT / f'{name}.py'
    (ROOT / OUT).mkdir(parents=True, exist_ok=True)
    settings = f"_base_ = '../../{PRETRAIN}'\n\ntrain_dataloader = dict(dataset=dict(data_root={data!r}))\n"
    (ROOT / config).write_text(settings)
    return config


def demo_on_own_pictures(data: str) -> None:
    """Pre-train on a user's folder and draw."""
    headline(f'Pre-training on {data}')
    config = own_config(data)
    checkpoint = pretrain(config, OUT / config.stem)
    headline('Drawing')
    report([], draw(config, OUT / config.stem, checkpoint, data))


def demo_on_built_in_pictures() -> None:
    """Go the whole way on the built-in set, which has labels."""
    headline('Making the built-in pictures')
    run('tools/dataset_converters/make_shapes.py', PICTURES)
    headline('Pre-training without labels')
    checkpoint = pretrain(PRETRAIN, OUT / 'pretrain')
    headline('Drawing what it reconstructs')
    pictures = draw(PRETRAIN, OUT / 'pretrain', checkpoint, f'{PICTURES}/val')
    headline('Nearest neighbours: untrained against pre-trained')
    knn = ('20 nearest neighbours', neighbours(None), neighbours(checkpoint))
    headline('Fine-tuning: from scratch against pre-trained')
    scratch = finetune(SCRATCH, OUT / 'scratch')
    finetuned = finetune(FINETUNE, OUT / 'finetune', f'model.backbone.init_cfg.checkpoint={checkpoint}')
    headline('What came out')
    report([knn, ('fine-tuning', scratch, finetuned)], pictures)


def main() -> None:
    """Read the command line and go."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', help='a folder of your own pictures, of any kind and depth')
    data = parser.parse_args().data
    try:
        if data:
            demo_on_own_pictures(str(Path(data).expanduser().resolve()))
        else:
            demo_on_built_in_pictures()
    except KeyboardInterrupt:
        console.print('Interrupted. The same command goes on with the pre-training where it stopped.')
        sys.exit(130)


if __name__ == '__main__':
    main()
