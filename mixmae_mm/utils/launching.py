"""Command line, config and processes of tools/train.py and tools/test.py."""

import argparse
import logging
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log

from mixmae_mm.utils.arguments import Settings, add_output_options
from mixmae_mm.utils.cfg_options import put_options
from mixmae_mm.utils.config_checks import settle_loaders
from mixmae_mm.utils.config_keys import check_names
from mixmae_mm.utils.names import expand

VARIABLES = {
    'pytorch': ('RANK', 'LOCAL_RANK', 'WORLD_SIZE'),
    'slurm': ('SLURM_PROCID', 'SLURM_LOCALID', 'SLURM_NTASKS'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_LOCAL_RANK', 'OMPI_COMM_WORLD_SIZE'),
}
"""Environment variables by launcher: the rank of a process, its local rank, and the number of processes."""


def argument_parser(description: str) -> argparse.ArgumentParser:
    """Make a parser for the arguments of tools/train.py and tools/test.py, spelled as in OpenMMLab."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('config', type=expand, help='config file')
    text = 'folder for logs and checkpoints (./work_dirs/<config name>)'
    parser.add_argument('--work-dir', type=expand, help=text)
    parser.add_argument('--cfg-options', nargs='+', action=Settings, help='config settings to override: a.b=value')
    parser.add_argument('--launcher', choices=['none', *VARIABLES], default='none', help='what started the processes')
    parser.add_argument('--local_rank', '--local-rank', type=int, help='set by some launchers, never by hand')
    add_output_options(parser)
    return parser


def load_config(path: str | Path, options: dict[str, str] | None = None) -> Config:
    """Load a config file and override settings from the command line, as every tool does."""
    path = expand(path)
    if not os.path.isfile(path):
        raise ValueError(f'there is no config file {path} (looked for in {Path.cwd()})')
    try:
        config = Config.fromfile(path)
    except SyntaxError as error:
        raise ValueError(f'{path}, or a file that it inherits from, is not valid Python: {error}') from error
    put_options(config, options or {})
    _tidy(config._cfg_dict)
    settle_loaders(config)
    return config


def read_config(args: argparse.Namespace) -> Config:
    """Load the config given to tools/train.py or tools/test.py, and check the names of its settings."""
    if args.local_rank is not None:
        os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    config = load_config(args.config, args.cfg_options)
    for warning in check_names(config):
        say(warning, logging.WARNING)
    config.launcher = args.launcher
    config.work_dir = args.work_dir or config.get('work_dir') or f'./work_dirs/{Path(args.config).stem}'
    for place in (Path(config.work_dir), *Path(config.work_dir).parents):
        if place.is_file():
            raise ValueError(f'work_dir {config.work_dir} cannot be a folder: {place} is a file. Set --work-dir')
    return config


def _tidy(node: Any) -> None:
    """Expand `~/` in all strings, and remove the scope that mmengine adds to configs inherited by `mixmae_mm::...`."""
    if isinstance(node, dict) and node.get('_scope_') == 'mixmae_mm':
        del node['_scope_']  # also from `collate_fn`, which would be called with it
    entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list | tuple) else ()
    for key, value in list(entries):
        if isinstance(value, str) and value.startswith('~/') and not isinstance(node, tuple):
            node[key] = os.path.expanduser(value)
        else:
            _tidy(value)


def say(message: str, level: int = logging.INFO) -> None:
    """Print a message on rank 0 only, before the run's log is open and, under Slurm or MPI, before RANK is set."""
    ranks = [os.environ[rank] for rank, *_ in VARIABLES.values() if rank in os.environ]
    if ranks[:1] in ([], ['0']):
        print_log(message, level=level)


def has_accelerator() -> bool:
    """Return whether mmengine would train on a device other than the CPU."""
    return get_device() != 'cpu'


def timeout_of(config: Config) -> timedelta:
    """Return how long processes wait for each other."""
    return timedelta(seconds=config.get('env_cfg', {}).get('dist_cfg', {}).get('timeout', 1800))


def join_processes(config: Config) -> None:
    """Prepare a process for its group; without a GPU, join it by gloo here, as mmengine's own start needs a GPU."""
    if config.launcher == 'none':
        return
    local_rank = _read_variables(config.launcher)
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        if local_rank >= count:
            raise ValueError(
                f'process {local_rank} of this machine has no GPU: {count} are visible; start that many processes'
            )
    elif not has_accelerator():
        torch.distributed.init_process_group('gloo', timeout=timeout_of(config))
        unused = config.get('find_unused_parameters', False)
        wrapper = dict(type='MMDistributedDataParallel', broadcast_buffers=False, find_unused_parameters=unused)
        config.model_wrapper_cfg = dict(config.get('model_wrapper_cfg') or wrapper, device_ids=None)


def _read_variables(launcher: str) -> int:
    """Set the variables from which torch reads rank, local rank and world size; return the local rank."""
    missing = [name for name in VARIABLES[launcher] if name not in os.environ]
    if missing:
        script = f'tools/{"slurm" if launcher == "slurm" else "dist"}_train.sh'
        raise ValueError(
            f'--launcher {launcher}, but {", ".join(missing)} is not set: this process was not started by it. Start '
            f'with {script}, or leave --launcher out for one process'
        )
    for name, theirs in zip(VARIABLES['pytorch'], VARIABLES[launcher], strict=True):
        os.environ[name] = os.environ[theirs]
    on_one = os.environ.get('OMPI_COMM_WORLD_LOCAL_SIZE', os.environ['WORLD_SIZE']) == os.environ['WORLD_SIZE']
    if launcher != 'pytorch' and on_one and os.environ.get('SLURM_JOB_NUM_NODES', '1') == '1':
        os.environ.setdefault('MASTER_PORT', '29500')
        os.environ.setdefault('MASTER_ADDR', '127.0.0.1')  # on several machines mmengine asks Slurm for it
    return int(os.environ['LOCAL_RANK'])
