"""Write the features of images, with the names of their files, to an .npz file.

    python tools/analysis_tools/extract_features.py CONFIG [CHECKPOINT] --images FOLDER_OR_FILES --out features.npz

Images are read as in the config's training; corrupt ones are left out.
"""

import argparse

import mixmae_mm
from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

from mixmae_mm.apis import FeatureExtractor
from mixmae_mm.apis.feature_extractor import KINDS
from mixmae_mm.apis.model import input_size
from mixmae_mm.utils.arguments import ImageSize, Settings, counted, expanded
from mixmae_mm.utils.errors import readable_errors
from mixmae_mm.utils.launching import load_config
from mixmae_mm.utils.names import expand


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=f'Write features of images (mixmae_mm {mixmae_mm.__version__})')
    parser.add_argument('config', type=expand, help='config with the encoder as model.backbone')
    parser.add_argument('checkpoint', nargs='?', type=expand, help='its weights (default: untrained encoder)')
    parser.add_argument('--images', nargs='+', type=expand, required=True, help='folders or files')
    parser.add_argument('--out', type=expanded, default='features.npz', help='.npz file (%(default)s)')
    parser.add_argument('--kind', choices=KINDS, default='pooled', help='of the last feature map (%(default)s)')
    parser.add_argument('--image-size', action=ImageSize, help="pixels (the encoder's img_size)")
    parser.add_argument('--batch-size', type=counted, default=32, help='images at a time (%(default)s)')
    parser.add_argument('--device', help='where to compute (default: GPU if available)')
    parser.add_argument('--cfg-options', nargs='+', action=Settings, help='config settings to override: a.b=value')
    parser.add_argument('--debug', action='store_true', help='show errors with their whole traceback')
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Load, compute, write."""
    args = parse_args(arguments)
    with readable_errors(args.debug):
        config = load_config(args.config, args.cfg_options)
        settings = dict(image_size=input_size(config, args.image_size), batch_size=args.batch_size, device=args.device)
        extract = FeatureExtractor.from_config(config, args.checkpoint, **settings)
        print(extract.save(args.images, args.out, args.kind))


if __name__ == '__main__':
    main()
