"""Train a model from a config: python tools/train.py CONFIG [--resume] [--cfg-options key=value ...]."""

import argparse
import logging
import re
from pathlib import Path

import mixmae_mm
from mixmae_mm.utils import compat, console

if __name__ == '__main__':
    console.start()  # before the libraries that print
compat.apply()  # before torch and the libraries that it fixes

import torch
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mixmae_mm.engine.checks import check_config, fill_num_classes, open_loaders
from mixmae_mm.engine.hooks.console import follow
from mixmae_mm.engine.hooks.preemption import LATEST
from mixmae_mm.engine.optimizers.precision import set_precision
from mixmae_mm.engine.strategies import fit_strategy, scale_rate
from mixmae_mm.utils.config_checks import check_schedule
from mixmae_mm.utils.errors import check_checkpoint, readable_errors
from mixmae_mm.utils.launching import argument_parser, has_accelerator, join_processes, read_config, say
from mixmae_mm.utils.malloc import keep_freed_memory
from mixmae_mm.utils.names import expand


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argument_parser(f'Train a model (mixmae_mm {mixmae_mm.__version__})')
    text = 'resume from this checkpoint; without a value, from the last one'
    parser.add_argument('--resume', nargs='?', const='auto', type=expand, help=text)
    text = "resume with other settings, data, batches, processes or seed than the checkpoint's"
    parser.add_argument('--allow-changes', action='store_true', help=text)
    parser.add_argument('--amp', action='store_true', help='mixed precision (bfloat16 if the GPU or CPU has it)')
    parser.add_argument('--auto-scale-lr', action='store_true', help="scale the learning rate with the job's batch")
    return parser.parse_args()


def set_resume(config: Config, resume: str | None) -> None:
    """Decide where training starts: from scratch, from the weights of `load_from`, or where a checkpoint stopped."""
    written = _checkpoints(config)
    if resume is None and config.get('resume') and not config.get('load_from'):
        resume = 'auto'  # asked for by the config
    if resume == 'auto' and not written and (last := _last_checkpoint(config.work_dir)):
        raise ValueError(
            f'--resume: {config.work_dir}/last_checkpoint names {last}, but neither it nor another checkpoint exists: '
            'put it back, or delete last_checkpoint to start from scratch'
        )
    if resume == 'auto' and not written:
        config.resume, resume = False, None
        say(f'--resume: no checkpoint in {config.work_dir} yet, starting from scratch')
    elif resume == 'auto':
        resume = _newest_sound(written)
    elif resume is None and written:
        say(f'{written[0]} belongs to an earlier run in this work_dir; --resume uses the last one', logging.WARNING)
    if resume is not None:
        config.resume, config.load_from = True, resume
    if config.get('load_from'):
        check_checkpoint(config.load_from)


def _last_checkpoint(work_dir: str) -> str:
    """Return the checkpoint that the file `last_checkpoint` points to; '' if this file is missing."""
    pointer = Path(work_dir, 'last_checkpoint')
    return pointer.read_text().strip() if pointer.is_file() else ''


def _checkpoints(config: Config) -> list[str]:
    """List the checkpoints of a run, newest first, even if the work_dir was moved or its pointer lost."""
    last, work_dir = _last_checkpoint(config.work_dir), Path(config.work_dir)
    if '://' in last:  # in remote storage, where mmengine cannot list files
        return [last]
    out_dir = (config.get('default_hooks', {}).get('checkpoint') or {}).get('out_dir')
    folders = [work_dir, Path(out_dir, work_dir.name)] if out_dir else [work_dir]
    first = [path for path in (Path(last), work_dir / Path(last).name) if last and path.exists()]
    files = [path for folder in folders for path in folder.glob('*.pth')]
    found = {path: re.fullmatch(r'(?:epoch|iter)_(\d+)\.pth', path.name) for path in files}
    numbered = sorted((path for path in found if found[path]), key=lambda path: int(found[path][1]), reverse=True)
    latest = [path for path in found if path.name == LATEST]
    newer = latest and (not numbered or latest[0].stat().st_mtime > numbered[0].stat().st_mtime)
    rest = [*latest, *numbered] if newer else [*numbered[:1], *latest, *numbered[1:]]
    return list(dict.fromkeys(map(str, first[:1] + rest)))


def _newest_sound(written: list[str]) -> str:
    """Return the first checkpoint that can be read, and warn of those before it; if none can, raise the first error."""
    failures = []
    for path in written:
        try:
            check_checkpoint(path)
        except ValueError as error:
            failures.append(error)
            say(f'{error}; looking for an earlier one', logging.WARNING)
        else:
            return path
    raise failures[0]


def set_lr_scaling(config: Config, scale: bool) -> None:
    """Scale the learning rate with the job's batch if the command line or the config asks for it."""
    if scale or (config.get('auto_scale_lr') or {}).get('enable'):
        scale_rate(config)


def check_settings(config: Config, epoch_length: int | None = None) -> None:
    """Raise a `ValueError` if the schedule does not fit into the training, and warn of settings without effect."""
    for warning in check_schedule(config, epoch_length):
        say(warning, logging.WARNING)


def main() -> None:
    """Build the runner and train."""
    args = parse_args()
    with readable_errors(args.debug, 'The same command with --resume continues from the last checkpoint.'):
        config = read_config(args)
        join_processes(config)
        if not has_accelerator():
            keep_freed_memory()
        set_resume(config, args.resume)
        if args.allow_changes and 'run_identity' in config.get('default_hooks', {}):
            config.merge_from_dict({'default_hooks.run_identity.allow_changes': True})
        set_precision(config, args.amp)
        set_lr_scaling(config, args.auto_scale_lr)
        check_settings(config)
        fit_strategy(config)
        fill_num_classes(config)
        doubts = check_config(config, ('train', 'val')).refuse()
        runner = RUNNERS.build(config) if 'runner_type' in config else Runner.from_cfg(config)
        follow(runner)
        open_loaders(runner, 'train', 'val', doubts=doubts)
        if 'max_epochs' in config.train_cfg:
            check_settings(config, len(runner.train_dataloader))
        runner.train()
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == '__main__':
    main()
