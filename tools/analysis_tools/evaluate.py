"""Evaluate an encoder's frozen features: no training, one minute, a number to compare.

    python tools/analysis_tools/evaluate.py CONFIG [CHECKPOINT] --train FOLDER --val FOLDER [--linear-probe] [--json]
        [--few-labels 1% 10% 5]
    python tools/analysis_tools/evaluate.py CONFIG [CHECKPOINT] --train IMAGES --val IMAGES --train-masks MASKS
        --val-masks MASKS [--probe ridge knn] [--stages 0 1 2]

FOLDER holds one folder per class; IMAGES and MASKS hold files at any depth, in mmseg's layout. Images are read as in
the config's training. Without a checkpoint the encoder is untrained, as a baseline. The protocols are in
mixmae_mm/evaluation/functional.
"""

import argparse
import functools
import json
import sys
from contextlib import redirect_stdout

import mixmae_mm
from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from mixmae_mm import evaluation
from mixmae_mm.apis import FeatureExtractor
from mixmae_mm.apis.feature_extractor import PRECISIONS
from mixmae_mm.apis.model import ask_for_maps, input_size
from mixmae_mm.datasets import ImageFolder
from mixmae_mm.datasets.file_list import Listing
from mixmae_mm.evaluation.reports import PROBES, Vote
from mixmae_mm.utils.arguments import ImageSize, Settings, counted
from mixmae_mm.utils.errors import readable_errors
from mixmae_mm.utils.launching import load_config
from mixmae_mm.utils.names import expand, printable
from mixmae_mm.utils.seed import seed_everything

KINDS = dict(top1='k-NN top-1', probe_top1='linear probe')
OF_LABELS = dict(whiten=None, linear_probe=False, few_labels=(), draws=5)
OF_MASKS = dict(img_suffix='', seg_map_suffix='.png', ignore_index=255, num_classes=None, probe=['ridge'])
OF_MASKS |= dict(stages=None, bank_size=2**15)
progress = functools.partial(track, description='computing features', console=Console(stderr=True))


def features_of(listing: Listing, labels: dict[str, int], extract: FeatureExtractor) -> tuple[Tensor, Tensor]:
    """Compute the features (B, D) of labeled images, and their labels (B,); corrupt images are left out."""
    names, features = extract.with_names(progress(labels))
    corrupt = len(labels) - len(names)
    print(
        f'{printable(listing.root)}: {listing.contents}; {corrupt:,} of {len(labels):,} images corrupt', file=sys.stderr
    )
    return torch.from_numpy(features), torch.tensor([labels[name] for name in names])


def judge_images(args: argparse.Namespace, extract: FeatureExtractor, vote: Vote) -> dict:
    """Compute accuracies on labeled images."""
    classes = evaluation.class_folders(args.train)
    extensions = extract.read.image_loader.extensions
    listings = [ImageFolder(folder, extensions=extensions).data_list for folder in (args.train, args.val)]
    labeled = [evaluation.label_by_folder(listing, classes) for listing in listings]  # before features are computed
    known, asked = (features_of(*part, extract) for part in zip(listings, labeled, strict=True))
    settings = dict(linear_probe=args.linear_probe, few_labels=args.few_labels, draws=args.draws)
    return evaluation.report_accuracy(known, asked, len(classes), vote, **settings)


def judge_masks(args: argparse.Namespace, extract: FeatureExtractor, vote: Vote) -> dict:
    """Compute how well pixels are classified."""
    suffixes = extract.read.image_loader.extensions, args.img_suffix, args.seg_map_suffix
    folders = (args.train, args.train_masks), (args.val, args.val_masks)
    pairs = [evaluation.pair_masks(*both, *suffixes) for both in folders]

    def encode(pixels: Tensor) -> list[Tensor]:
        return evaluation.normalize_patches(extract.maps(pixels)) if args.stages else extract.maps(pixels)[-1:]

    settings = args.probe, args.num_classes, args.ignore_index, vote, progress
    return evaluation.report_segmentation(encode, extract.read, *pairs, *settings)


def judge(args: argparse.Namespace) -> dict:
    """Compute what the command line asks for."""
    config = load_config(args.config, args.cfg_options)
    seed_everything(args.seed)
    if args.train_masks:
        ask_for_maps(config, args.stages)
    settings = dict(batch_size=args.batch_size, threads=max(1, args.workers), device=args.device)
    settings |= dict(image_size=input_size(config, args.image_size), precision=args.precision)
    extract = FeatureExtractor.from_config(config, args.checkpoint, **settings)
    vote = Vote(args.k, args.temperature, args.bank_size, args.seed, args.whiten)
    result = (judge_masks if args.train_masks else judge_images)(args, extract, vote)
    return dict(result, checkpoint=args.checkpoint)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=f'Evaluate frozen features (mixmae_mm {mixmae_mm.__version__})')
    parser.add_argument('config', type=expand, help='config with the encoder as model.backbone')
    parser.add_argument('checkpoint', nargs='?', type=expand, help='its weights (default: untrained encoder)')
    parser.add_argument('--train', type=expand, required=True, help='folder of class folders, or of images with masks')
    parser.add_argument('--val', type=expand, required=True, help='the same: what is classified')
    add_evaluations(parser)
    parser.add_argument('--image-size', action=ImageSize, help="pixels (the encoder's img_size)")
    parser.add_argument('--batch-size', type=counted, default=64, help='images at a time (%(default)s)')
    parser.add_argument('--device', help='where to compute (default: GPU if available)')
    parser.add_argument('--precision', choices=PRECISIONS, default='fp32', help="the encoder's (%(default)s)")
    parser.add_argument('--workers', type=int, default=4, help='threads that read images (%(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='for the untrained encoder and all draws (%(default)s)')
    parser.add_argument('--json', action='store_true', help='print the result as one JSON line')
    parser.add_argument('--cfg-options', nargs='+', action=Settings, help='config settings to override: a.b=value')
    parser.add_argument('--debug', action='store_true', help='show errors with their whole traceback')
    args = parser.parse_args(arguments)
    if (args.train_masks is None) != (args.val_masks is None):
        parser.error('--train-masks and --val-masks go together')
    settle_evaluations(parser, args)
    return args


def settle_evaluations(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Reject options that are wrong or have no effect here, and set the defaults of those that are not given."""
    kinds = (OF_MASKS, 'images with masks: give --train-masks, too'), (OF_LABELS, 'labeled images, without masks')
    for (defaults, what), used in zip(kinds, (args.train_masks, not args.train_masks), strict=True):
        given = [name for name in defaults if getattr(args, name) is not None]
        if given and not used:
            parser.error(f'{", ".join("--" + name.replace("_", "-") for name in given)}: of {what}')
        for name in defaults.keys() - given:
            setattr(args, name, defaults[name])
    if args.draws < 2:
        parser.error(f'--draws {args.draws}: give 2 or more, for a standard deviation')
    try:
        for text in args.few_labels:
            evaluation.Few.parse(text)
    except ValueError as error:
        parser.error(f'--few-labels: {error}')


def add_evaluations(parser: argparse.ArgumentParser) -> None:
    """Add the options for k-NN, for labeled images, and for images with masks."""
    parser.add_argument('--k', type=int, default=20, help='neighbors (%(default)s)')
    parser.add_argument('--temperature', type=float, default=0.07, help='of the votes (%(default)s)')
    text = 'find neighbors of images in this many whitened principal components of their features'
    parser.add_argument('--whiten', type=counted, metavar='COMPONENTS', help=text)
    text = 'also train a linear classifier on the features'
    parser.add_argument('--linear-probe', action='store_true', default=None, help=text)
    text = 'also evaluate with a share (1%%) of the training labels, or a number per class (5)'
    parser.add_argument('--few-labels', nargs='+', metavar='AMOUNT', help=text)
    parser.add_argument('--draws', type=counted, help='of few labels, 2 or more (5)')
    masks = parser.add_argument_group('masks', 'to evaluate features of patches')
    masks.add_argument('--train-masks', type=expand, help='folder of the masks of --train: labels, 8 bits per pixel')
    masks.add_argument('--val-masks', type=expand, help='folder of the masks of --val')
    masks.add_argument('--img-suffix', help='suffix of image names, if it is more than an extension')
    masks.add_argument('--seg-map-suffix', help='suffix of mask names (.png)')
    masks.add_argument('--ignore-index', type=int, help='label of ignored pixels (255)')
    masks.add_argument('--num-classes', type=counted, help="classes (the training masks' largest label plus 1)")
    masks.add_argument('--probe', nargs='+', choices=PROBES, help='classifiers (ridge)')
    text = 'stages of a hierarchical encoder, or blocks of a ViT, from 0, whose maps are concatenated (the last map)'
    masks.add_argument('--stages', type=int, nargs='+', help=text)
    masks.add_argument('--bank-size', type=counted, help='patches to search for neighbors (32768)')


def describe(result: dict) -> str:
    """Format a result as lines for human readers."""
    source = result['checkpoint'] or 'untrained encoder'
    if 'top1' not in result:
        text = '{}: mIoU {miou:.1%}, pixel accuracy {pixel_accuracy:.1%} ({} classes), {}'
        found = {probe: result[probe] for probe in PROBES if probe in result}
        return '\n'.join(text.format(name, result['num_classes'], source, **its) for name, its in found.items())
    probe = f', linear probe {result["probe_top1"]:.1%}' if 'probe_top1' in result else ''
    lines = [f'k-NN top-1 {result["top1"]:.1%}{probe} (chance {result["chance"]:.1%}), {source}']
    for amount, few in result.get('few_labels', {}).items():
        shown = (f'{name} {few[kind]["mean"]:.1%} +- {few[kind]["std"]:.1%}' for kind, name in KINDS.items())
        lines.append(f'with few labels ({amount}): {", ".join(shown)}')
    return '\n'.join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Evaluate and print."""
    args = parse_args(arguments)
    with readable_errors(args.debug), redirect_stdout(sys.stderr):  # only the result goes to stdout
        result = judge(args)
    print(json.dumps(result) if args.json else describe(result))


if __name__ == '__main__':
    main()
