"""Test a checkpoint: python tools/test.py CONFIG CHECKPOINT [--out predictions.pkl] [--show-dir images] [--tta]."""

import argparse

import mixmae_mm
from mixmae_mm.utils import compat, console

if __name__ == '__main__':
    console.start()  # before the libraries that print
compat.apply()  # before torch and the libraries that it fixes

import torch
from mmengine.config import Config
from mmengine.evaluator import DumpResults
from mmengine.hooks import PrepareTTAHook
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mixmae_mm.engine.checks import check_config, fill_num_classes, open_loaders
from mixmae_mm.engine.hooks.console import follow
from mixmae_mm.utils.errors import check_checkpoint, readable_errors
from mixmae_mm.utils.launching import argument_parser, join_processes, read_config
from mixmae_mm.utils.names import expand
from mixmae_mm.visualization.distinct_files import keep_apart


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argument_parser(f'Test a checkpoint (mixmae_mm {mixmae_mm.__version__})')
    parser.add_argument('checkpoint', type=expand, help='checkpoint file')
    parser.add_argument('--out', type=expand, help='file (.pkl) for the predictions')
    parser.add_argument('--show-dir', type=expand, help='folder for images with the predictions drawn')
    parser.add_argument('--tta', action='store_true', help="the config's test-time augmentation: scales, flips")
    return parser.parse_args()


def check_testable(config: Config, out: str | None) -> None:
    """Check that there is something to test on, and that predictions can be written.

    Raise ValueError if the config has no test set, or `out` is no pickle file.
    """
    missing = [name for name in ('test_dataloader', 'test_cfg', 'test_evaluator') if config.get(name) is None]
    if missing:
        raise ValueError(f'this config has nothing to test: it lacks {", ".join(missing)}')
    if out is not None and not out.endswith(('.pkl', '.pickle')):
        raise ValueError(f'--out writes pickle files: {out} should end in .pkl')


def draw_predictions(config: Config, folder: str) -> None:
    """Enable the visualization hook of mmpretrain, mmdet or mmseg, which differ; raise ValueError if there is none."""
    hook = config.get('default_hooks', {}).get('visualization') or {}
    kind = str(hook.get('type', '')).rpartition('.')[-1]
    if kind == 'VisualizationHook':
        hook.update(enable=True, out_dir=folder, interval=1)
    elif kind == 'DetVisualizationHook':
        hook.update(draw=True, test_out_dir=folder)
    elif kind == 'SegVisualizationHook':
        hook.update(draw=True, interval=1)
        config.visualizer.save_dir = folder
    else:
        raise ValueError(
            '--show-dir needs default_hooks.visualization to be a VisualizationHook (mmpretrain), DetVisualizationHook '
            f'(mmdet) or SegVisualizationHook (mmseg); in this config it is {kind or "missing"}'
        )


def main() -> None:
    """Build the runner and test."""
    args = parse_args()
    with readable_errors(args.debug):
        config = read_config(args)
        config.pop('runner_type', None)
        config.pop('strategy', None)  # checkpoints are not sharded
        check_testable(config, args.out)
        check_checkpoint(args.checkpoint)
        if args.show_dir:
            draw_predictions(config, args.show_dir)
        if args.tta:  # mmengine's hook merges the predictions for the augmented views of each image
            if not {'tta_model', 'tta_pipeline'} <= config.keys():
                raise ValueError('--tta needs tta_model and tta_pipeline in the config, as in those for ADE20K')
            config.test_dataloader.dataset.pipeline = config.tta_pipeline
        join_processes(config)
        config.resume, config.load_from = False, args.checkpoint
        fill_num_classes(config)
        doubts = check_config(config, ('test',)).refuse()
        runner = RUNNERS.build(config) if 'runner_type' in config else Runner.from_cfg(config)
        follow(runner)
        keep_apart(runner)
        open_loaders(runner, 'test', doubts=doubts)
        if args.tta:
            runner.register_hook(PrepareTTAHook(config.tta_model))
        if args.out:
            runner.test_evaluator.metrics.append(DumpResults(out_file_path=args.out))
        runner.test()
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == '__main__':
    main()
