"""Draw what a trained model makes of images: reconstructions, attention, and features of patches or images.

    mixmae reconstruct CONFIG CHECKPOINT [--images FOLDER_OR_FILES] [--ratios 0.25 0.5 0.75]
    mixmae visualize attention CONFIG CHECKPOINT [--query 0.3,0.6] [--block 0 2 -1] [--mix]
    mixmae visualize pca CONFIG CHECKPOINT [--stage 1] [--image-size 192]
    mixmae visualize similarity CONFIG CHECKPOINT --images A B [--points 0.3,0.4 0.7,0.5]
    mixmae visualize neighbors CONFIG CHECKPOINT --of IMAGES --among FOLDER
    mixmae visualize segmentation CONFIG CHECKPOINT --train IMAGES --train-masks MASKS --images IMAGES --masks MASKS

In a clone: `python tools/visualization/visualize.py reconstruct`, `attention`, `pca`, ...
"""

import argparse
from pathlib import Path

from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

import draw_attention
import draw_neighbors
import draw_patch_pca
import draw_patch_similarity
import draw_reconstructions
import draw_segmentation

from mixmae_mm.utils.arguments import Settings, expanded
from mixmae_mm.utils.errors import readable_errors
from mixmae_mm.utils.launching import load_config
from mixmae_mm.utils.names import expand
from mixmae_mm.visualization.image_grid import can_be_written

DRAWINGS = {
    'reconstruct': (draw_reconstructions, 'reconstructions.png', 'what a pre-trained model reconstructs'),
    'attention': (draw_attention, 'attention.png', 'attention maps over images'),
    'pca': (draw_patch_pca, 'pca.png', 'principal components of patch features as colors'),
    'similarity': (draw_patch_similarity, 'similarity.png', 'similar patches of two images'),
    'neighbors': (draw_neighbors, 'neighbors.png', 'nearest neighbors of images'),
    'segmentation': (draw_segmentation, 'segmentation.png', 'classes of pixels, by a linear classifier of patches'),
}
"""For each drawing, its module, the default of `--out`, and a description."""


def image_file(text: str) -> Path:
    """Parse the name of an image to write."""
    if not can_be_written(Path(text)):
        raise argparse.ArgumentTypeError(f'{text}: expected an extension of images, such as .png')
    return expanded(text)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest='what', required=True, metavar='WHAT')
    for name, (module, out, text) in DRAWINGS.items():
        of_kind = kinds.add_parser(name, help=text, description=f'Draw {text}')
        of_kind.add_argument('config', type=expand, help='pre-training or downstream config')
        of_kind.add_argument('checkpoint', type=expand, help='checkpoint that it wrote')
        of_kind.add_argument('--out', type=image_file, default=Path(out), help='image to write (%(default)s)')
        of_kind.add_argument('--device', help='where to compute (default: GPU if available)')
        of_kind.add_argument('--seed', type=int, default=0, help='of random choices (%(default)s)')
        of_kind.add_argument('--cfg-options', nargs='+', action=Settings, help='config settings to override: a.b=value')
        of_kind.add_argument('--debug', action='store_true', help='show errors with their whole traceback')
        module.add_options(of_kind)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Draw, write, and print a summary."""
    args = parse_args(arguments)
    with readable_errors(args.debug):
        image, summary = DRAWINGS[args.what][0].draw(args, load_config(args.config, args.cfg_options))
        args.out.parent.mkdir(parents=True, exist_ok=True)
        image.save(args.out)
    print(summary, args.out, sep='\n')


if __name__ == '__main__':
    main()
