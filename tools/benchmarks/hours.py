"""Estimate how long training a config takes on one GPU, from the multiply-adds that its metafile states.

    python tools/benchmarks/hours.py CONFIG [CONFIG ...] [--num-images 100000] [--epochs 300] [--rates 25 50 125 400]

An operation is a multiplication or an addition: two per multiply-add. A forward and backward pass cost as much as three
forward passes, or four with `with_cp`. `--rates` are the operations per second that training reaches, in 10^12; they
are assumptions: 30 to 40 % of what a GPU's datasheet states for bfloat16.
"""

import argparse
import math
from pathlib import Path
from typing import NamedTuple

import yaml

from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

from mixmae_mm.utils.arguments import expanded
from mixmae_mm.utils.errors import readable_errors
from mixmae_mm.utils.launching import load_config


class Training(NamedTuple):
    """Work of a training run: multiply-adds per image of a forward pass, forward passes that a step costs, epochs."""

    multiply_adds: int
    passes: int
    epochs: int

    def hours(self, images: int, rate: float) -> float:
        """Return the hours for a set of this many images, at `rate` operations per second."""
        return self.epochs * images * self.passes * 2 * self.multiply_adds / rate / 3600


def training_of(path: Path) -> Training:
    """Read a config of ours and the metafile beside it.

    Raise ValueError if the metafile lacks the multiply-adds of this config, or the config does not count epochs.
    """
    config, metafile = load_config(path), path.with_name('metafile.yml')
    listed = yaml.safe_load(metafile.read_text())['Models'] if metafile.is_file() else []
    counted = [model['Metadata'].get('FLOPs') for model in listed if model['Name'] == path.stem]
    if not counted or not counted[0] or 'max_epochs' not in config.train_cfg:
        raise ValueError(f'{path}: no FLOPs in {metafile}, or no epochs: use a pre-training or fine-tuning config')
    return Training(counted[0], 4 if config.model.backbone.get('with_cp') else 3, config.train_cfg.max_epochs)


def rounded(hours: float) -> str:
    """Format a number of hours with two significant digits."""
    return f'{round(hours, 1 - math.floor(math.log10(hours))):,g}'


def main(arguments: list[str] | None = None) -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('configs', nargs='+', type=expanded)
    text = 'images in the training set (ImageNet-1k: %(default)s)'
    parser.add_argument('--num-images', type=int, default=1_281_167, help=text)
    parser.add_argument('--epochs', type=int, help="(the config's)")
    parser.add_argument('--rates', type=float, nargs='+', default=[25, 50, 125, 400], help='10^12 operations a second')
    args = parser.parse_args(arguments)
    print(f'| config | epochs | G multiply-adds per image | {" | ".join(f"{rate:g} T/s" for rate in args.rates)} |')
    print(f'|---|{"--:|" * (2 + len(args.rates))}')
    with readable_errors(debug=False):
        for path in args.configs:
            training = training_of(path)
            training = training._replace(epochs=args.epochs or training.epochs)
            hours = [rounded(training.hours(args.num_images, rate * 1e12)) for rate in args.rates]
            adds = f'{training.multiply_adds / 1e9:.1f}'
            print(f'| `{path.stem}` | {training.epochs} | {adds} | {" | ".join(hours)} |')


if __name__ == '__main__':
    main()
