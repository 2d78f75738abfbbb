"""Say what a file of weights is, and what would load.

    python tools/model_converters/inspect_checkpoint.py FILE [--config CONFIG] [--prefix P]

Without a config: container, layout, the encoder's sizes, the parts of the model, how far it was trained, and the lines
of a config that load it, which are tried. With one, of a pre-training, a classifier, a detector or a segmentor: what
becomes of each tensor when its backbone, which alone is built, loads the file. The exit status is 1 if the file would
be refused, and the reason is told.
"""

import argparse
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import mixmae_mm
from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, init_default_scope
from reading import PROGRESS, Contents, Model, left_out_lines, read_contents, read_model, whose
from rich.console import Console
from rich.table import Table
from sizes import UNKNOWN, read_settings
from torch import Tensor

from mixmae_mm.apis.undisturbed import quiet_log
from mixmae_mm.checkpoint.key_mapping import DECODER, ENCODER, OFFICIAL_DECODER
from mixmae_mm.checkpoint.loading import MIN_SHARE, load_backbone
from mixmae_mm.checkpoint.report import WIDTH, LoadReport, joined
from mixmae_mm.utils.errors import readable_errors
from mixmae_mm.utils.names import expand

TOLD = (*PROGRESS, 'time', 'experiment_name', 'mmengine_version', 'mixmae_mm_version')
STATISTICS = ('running_mean', 'running_var')
DECODERS = tuple(DECODER + start for start in OFFICIAL_DECODER)
MOST_CLASSES = 5


def part_of(name: str) -> str:
    """Say which part of a model a tensor is of, by our name for it."""
    if name.startswith(ENCODER):
        return 'encoder'
    if name.startswith(DECODERS):
        return 'decoder'
    return name.partition('.')[0]


def count_parameters(weights: Mapping[str, Tensor]) -> int:
    """Count numbers that are learnt, or fixed tables of positions: indices, counts and statistics are not."""
    learnt = (x for name, x in weights.items() if x.is_floating_point() and not name.endswith(STATISTICS))
    return sum(x.numel() for x in learnt)


def parts_table(weights: Mapping[str, Tensor]) -> Table:
    """Lay out what a model consists of: encoder, decoder and head first."""
    table = Table('part', 'tensors', 'parameters', 'stored as', title='the model', min_width=60)
    parts = {'encoder': {}, 'decoder': {}, 'head': {}}
    for name, x in weights.items():
        parts.setdefault(part_of(name), {})[name] = x
    for part, inside in parts.items():
        kinds = sorted({str(x.dtype).removeprefix('torch.') for x in inside.values()})
        if inside:
            table.add_row(part, str(len(inside)), f'{count_parameters(inside):,}', ', '.join(kinds))
    return table


def facts(file: str, contents: Contents) -> dict[str, str]:
    """Tell about a file what needs no encoder in it."""
    if contents.container:
        stand = f"under '{contents.container}'"
    else:
        stand = 'bare, in a safetensors file' if file.endswith('.safetensors') else 'bare'
    told = {name: str(contents.meta[name]) for name in TOLD if name in contents.meta}
    classes = _classes(contents.meta.get('dataset_meta'))
    optimizer = 'optimizer' in contents.others
    others = sorted({*contents.others} - {'meta', 'optimizer', *PROGRESS})
    rows = {'weights stand': stand, 'tensors': str(len(contents.weights))} | told | classes
    rows['config'] = 'inside, as text' if contents.meta.get('cfg') else 'not inside'
    rows['optimizer'] = 'inside: training can go on from it' if optimizer else 'not inside'
    return rows | ({'also inside': ', '.join(others)} if others else {})


def _classes(dataset: object) -> dict[str, str]:
    """Tell the classes that a dataset is said to have."""
    classes = dataset.get('classes') if isinstance(dataset, Mapping) else None
    if not classes:
        return {}
    more = ', ...' if len(classes) > MOST_CLASSES else ''
    return {'classes': f'{len(classes)}: {", ".join(map(str, classes[:MOST_CLASSES]))}{more}'}


def encoder_facts(settings: dict) -> dict[str, str]:
    """Tell about an encoder."""
    arch, dicts = settings['arch'], isinstance(settings['arch'], dict)
    rows = {'encoder': settings['type'], 'arch': _listed(arch) if dicts else arch}
    names = ('img_size', 'patch_size', 'window_sizes', 'wide_blocks', 'wide_window', 'num_sources', 'in_channels')
    return rows | {name: str(settings[name]) for name in names if name in settings}


def _listed(settings: dict) -> str:
    """Write settings in one line."""
    return ', '.join(f'{name} {"not known" if x is UNKNOWN else x}' for name, x in settings.items())


def rows_table(title: str, rows: Mapping[str, str]) -> Table:
    """Lay out what is told, a line each."""
    table = Table(title=title, show_header=False, min_width=60)
    for row in rows.items():
        table.add_row(*row)
    return table


def paste_lines(settings: dict, file: str, prefix: str | None) -> Iterable[str]:
    """Write the lines of a config that build an encoder and load the file."""
    load = dict(type='Pretrained', checkpoint=file) | (dict(prefix=prefix) if prefix else {})
    yield 'backbone=dict('
    yield from (f'    {name}={_written(value)},' for name, value in (settings | dict(init_cfg=load)).items())
    yield '),'


def _written(value: object) -> str:
    """Write a setting as configs do."""
    if not isinstance(value, dict):
        return repr(value)
    return f'dict({", ".join(f"{name}={x!r}" for name, x in value.items())})'


def load_into(settings: dict, file: str, prefix: str | None, min_share: float = MIN_SHARE) -> LoadReport:
    """Build an encoder and load the file; the report is not logged.

    Raises:
        ValueError: the file would be refused.
    """
    with quiet_log(logging.ERROR):
        return load_backbone(MODELS.build(settings), file, prefix, min_share)


def try_config(config: Config, file: str, prefix: str | None) -> LoadReport:
    """Load the file into the backbone of a config, as its own `init_cfg` says where it names a file.

    Raises:
        ValueError: the config's model has no backbone, or the file would be refused.
    """
    if 'backbone' not in config.get('model', {}):
        raise ValueError(f'{config.filename} has no model.backbone to load weights into')
    init_default_scope(config.get('default_scope', 'mmpretrain'))
    load = config.model.backbone.get('init_cfg')
    load = load if isinstance(load, ConfigDict) and load.get('type') == 'Pretrained' else {}
    return load_into(config.model.backbone, file, prefix or load.get('prefix'), load.get('min_share', MIN_SHARE))


def describe(file: str, prefix: str | None, console: Console) -> None:
    """Print what a file is, part after part, as far as it can be told.

    Raises:
        ValueError: it cannot be read, or would be refused.
    """
    contents = read_contents(file)
    console.print(rows_table(Path(file).name, facts(file, contents)))
    model = read_model(contents.weights, prefix)
    console.print(rows_table('read as', _read_as(model)), parts_table(model.weights))
    encoder = {name.removeprefix(ENCODER): x for name, x in model.weights.items() if name.startswith(ENCODER)}
    settings, remarks = read_settings(encoder, model.layout.kind, str(contents.meta.get('cfg', '')))
    console.print(rows_table('the encoder', encoder_facts(settings)))
    report = load_into(with_any_heads(settings), file, prefix)
    lines = [*paste_lines(settings, file, prefix), *remarks]
    console.print(f'{report.share:.1%} of the parameters load{_rest(report)}, by', *lines, sep='\n', soft_wrap=True)


def _read_as(model: Model) -> dict[str, str]:
    """Tell whose names the file has, and what of it is no part of the model."""
    lines = '\n'.join(left_out_lines(model.left_out))
    return {'layout': whose(model.layout)} | ({'beside it': lines} if lines else {})


def with_any_heads(settings: dict) -> dict:
    """Let an encoder be built whose number of heads is not known: none of its weights has another size by it."""
    arch = settings['arch']
    unknown = isinstance(arch, dict) and arch['num_heads'] is UNKNOWN
    return settings | dict(arch=arch | dict(num_heads=1)) if unknown else settings


def _rest(report: LoadReport) -> str:
    """Say what would start anew."""
    return f' (missing: {", ".join(joined(report.missing))})' if report.missing else ''


def main(arguments: list[str] | None = None) -> None:
    """Read and print."""
    parser = argparse.ArgumentParser(description=f'What a checkpoint is (mixmae_mm {mixmae_mm.__version__})')
    parser.add_argument('file', type=expand, help='.pth or .safetensors')
    parser.add_argument('--config', type=expand, help='config whose backbone is to load it')
    parser.add_argument('--prefix', help="what stands before the encoder's names, where there are several encoders")
    parser.add_argument('--debug', action='store_true', help='show errors with their whole traceback')
    args = parser.parse_args(arguments)
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    with readable_errors(args.debug):
        if args.config:
            console.print(str(try_config(Config.fromfile(args.config), args.file, args.prefix)))
        else:
            describe(args.file, args.prefix, console)


if __name__ == '__main__':
    main()
