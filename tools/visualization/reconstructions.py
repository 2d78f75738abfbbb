"""Draw what a pre-trained model makes of pictures: originals, their mixture, whose cell is whose, reconstructions.

    python tools/visualization/reconstructions.py CONFIG CHECKPOINT [--pictures FOLDER_OR_FILES] [--out out.png]

One row a group of K pictures; for MAE one picture, what was not hidden of it, and its reconstruction.
"""

import argparse
from pathlib import Path

import mixmae_mm  # before the host packages: it mends what is known to break on import

# isort: split
from mmengine.config import Config

from mixmae_mm.failures import readable_errors
from mixmae_mm.inference.models import build_pretrainer, picture_size
from mixmae_mm.inference.reconstructing import find_pictures, read_pictures, reconstruct
from mixmae_mm.launching import Settings
from mixmae_mm.visualization import describe, draw_rows


def own_pictures(config: Config) -> list[str]:
    """Name the folder that a config trains on.

    Raises:
        ValueError: it names none.
    """
    folder = config.get('train_dataloader', {}).get('dataset', {}).get('data_root')
    if not folder:
        raise ValueError(f'{config.filename} names no train_dataloader.dataset.data_root: give --pictures')
    return [folder]


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=f'Draw reconstructions (mixmae_mm {mixmae_mm.__version__})')
    parser.add_argument('config', help='config of the pre-training')
    parser.add_argument('checkpoint', help='checkpoint that it wrote')
    parser.add_argument('--pictures', nargs='+', help="folders or files (the config's own training pictures)")
    parser.add_argument('--out', type=Path, default=Path('reconstructions.png'), help='picture to write (%(default)s)')
    parser.add_argument('--num', type=int, default=6, help='rows, a mixture each (%(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='decides pictures and mixtures (%(default)s)')
    parser.add_argument('--cfg-options', nargs='+', action=Settings, help='config settings to override: a.b=value')
    parser.add_argument('--debug', action='store_true', help='show errors with their whole traceback')
    args = parser.parse_args(arguments)
    if args.num < 1 or args.seed < 0:
        parser.error(f'--num {args.num} --seed {args.seed}: give 1 or more rows and no negative seed')
    return args


def main(arguments: list[str] | None = None) -> None:
    """Load, reconstruct, draw, write."""
    args = parse_args(arguments)
    with readable_errors(args.debug):
        config = Config.fromfile(args.config)
        config.merge_from_dict(args.cfg_options or {})
        model = build_pretrainer(config, args.checkpoint)
        num_sources = model.data_preprocessor.num_sources
        places = args.pictures or own_pictures(config)
        paths = find_pictures(places, args.num * num_sources, num_sources, args.seed)
        pictures = read_pictures(paths, picture_size(config), len(model.data_preprocessor.mean))
        result = reconstruct(model, pictures, args.seed)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        draw_rows(result, describe(model, result)).save(args.out)
    what = 'picture(s)' if num_sources == 1 else f'mixture(s) of {num_sources} pictures each'
    print(f'{args.out}: {len(result.mixed)} {what}')


if __name__ == '__main__':
    main()
