"""Replay a training step that was skipped because it was not finite, and name the module where that began.

    python tools/analysis_tools/replay_nonfinite.py WORK_DIR/nonfinite/iter_N [--rank R] [--device cpu]

The folder, written by `NanGuardHook`, holds the config, the weights and, for rank 0 and each process that found a
cause, the batch from the data loader and the seed of the random draws, which can differ on another device.
"""

import argparse
import importlib
from pathlib import Path

from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor, nn

from mixmae_mm.apis.contexts import quiet_log
from mixmae_mm.engine.hooks.nan_guard import find_nonfinite
from mixmae_mm.utils.arguments import expanded
from mixmae_mm.utils.errors import readable_errors
from mixmae_mm.utils.safe_io.allow_list import allow_checkpoint_types
from mixmae_mm.utils.safe_io.weights_file import explain, read_weights

PLAIN_DATA = ('mixmae_mm.datasets.samplers.seeded.SeededIndex', 'mmengine.structures.', 'mmpretrain.structures.',
              'mmdet.structures.', 'mmseg.structures.')  # fmt: skip
"""Prefixes of the names of classes that occur in batches; stored files may use no others."""


def read_event(path: Path) -> dict:
    """Read what one process stored, without running code; raise ValueError for classes other than those of batches."""
    if not path.is_file():
        there = sorted(each.name for each in path.parent.glob('rank_*.pth'))
        raise ValueError(f'there is no {path}: name a folder WORK_DIR/nonfinite/iter_N, and one of its ranks: {there}')
    allow_checkpoint_types()
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        classes = [_find_class(name) for name in names if name.startswith(PLAIN_DATA)]
        with torch.serialization.safe_globals(classes):
            event = torch.load(path, weights_only=True)
        return {key: event[key] for key in ('number', 'batch', 'seed', 'fault', 'finding')}
    except Exception as error:
        raise ValueError(f'{path} is not what NanGuardHook wrote, or was damaged: {explain(error, path)}') from error


def _find_class(name: str) -> type:
    """Import a class by its full name."""
    module, _, own = name.rpartition('.')
    found = getattr(importlib.import_module(module), own)
    if not isinstance(found, type) or f'{found.__module__}.{found.__qualname__}' != name:
        raise ValueError(f'{name} is no class of batches')
    return found


def build_model(config: Config, weights: dict[str, Tensor], device: str) -> BaseModel:
    """Build the model that was trained, with its weights at that step."""
    init_default_scope(config.get('default_scope', 'mmengine'))
    settings = config.model.to_dict()
    if 'data_preprocessor' in config:
        settings.setdefault('data_preprocessor', config.data_preprocessor)
    model = MODELS.build(settings)
    unlike = model.state_dict().keys() ^ weights.keys()
    if unlike:
        raise ValueError(f'the weights do not match the config beside them: they differ in {sorted(unlike)[:3]}')
    model.load_state_dict(weights)
    return model.to(device).train()


def replay(folder: Path, rank: int, device: str) -> str:
    """Replay an event, and describe what was found then and now."""
    event = read_event(folder / f'rank_{rank}.pth')
    config = Config.fromfile(folder / 'config.py')
    wrapper = config.optim_wrapper
    kind = getattr(wrapper.get('type', ''), '__name__', wrapper.get('type', ''))
    dtype = 'bfloat16' if 'CpuAmp' in kind else wrapper.get('dtype')
    dtype = getattr(torch, dtype) if isinstance(dtype, str) else dtype

    def precision(model: nn.Module) -> torch.autocast:
        """Return the precision that the config trains in, as a context of the forward pass."""
        return torch.autocast(torch.device(device).type, dtype, enabled='Amp' in kind)

    with quiet_log():
        model = build_model(config, read_weights(str(folder / 'weights.pth')), device)
        now = find_nonfinite(model, event['batch'], event['seed'], precision)
    return f'iteration {event["number"]}, rank {rank}: {event["fault"]}\nthen: {event["finding"]}\nnow:  {now}'


def main(arguments: list[str] | None = None) -> None:
    """Replay an event and print what comes out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=expanded, help='what NanGuardHook wrote: WORK_DIR/nonfinite/iter_N')
    parser.add_argument('--rank', type=int, default=0, help='the process whose batch is run (0)')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu', help='where (a GPU if any)')
    parser.add_argument('--debug', action='store_true', help='show errors with their whole traceback')
    args = parser.parse_args(arguments)
    with readable_errors(args.debug):
        print(replay(args.folder, args.rank, args.device))


if __name__ == '__main__':
    main()
