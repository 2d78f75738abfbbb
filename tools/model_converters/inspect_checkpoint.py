"""Print what a weights file contains, and what of it would load.

    python tools/model_converters/inspect_checkpoint.py FILE [--config CONFIG] [--prefix P]

Without a config: where the weights are in the file, how far they were trained, their layout, and the model's parts.
With a config: what happens to each tensor when the config's backbone loads the file; only the backbone is built. The
exit status is 1 if the file would be rejected.
"""

import argparse
import logging
import re
from collections import Counter
from collections.abc import Mapping

import mixmae_mm
from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from reading import PROGRESS, Contents, Model, left_out_lines, read_contents, read_model, whose
from torch import Tensor

from mixmae_mm.apis.contexts import quiet_log
from mixmae_mm.apis.model import MODELS_BY_NAME
from mixmae_mm.checkpoint.key_mapping import DECODER, ENCODER, OFFICIAL_DECODER
from mixmae_mm.checkpoint.loading import MIN_SHARE, load_backbone, load_by_name
from mixmae_mm.checkpoint.report import LoadReport
from mixmae_mm.models.backbones.archs import SWIN_ARCHS, VIT_ARCHS
from mixmae_mm.models.backbones.base import Encoder
from mixmae_mm.utils.errors import readable_errors
from mixmae_mm.utils.names import expand

META = (*PROGRESS, 'time', 'experiment_name', 'mmengine_version', 'mixmae_mm_version')
DECODERS = tuple(DECODER + start for start in OFFICIAL_DECODER)


def facts(contents: Contents) -> dict[str, str]:
    """Return what is known about a file apart from its encoder, as rows."""
    rows = {'weights stand': f"under '{contents.container}'" if contents.container else 'bare'}
    rows |= {'tensors': str(len(contents.weights))}
    rows |= {name: str(contents.meta[name]) for name in META if name in contents.meta}
    classes = (contents.meta.get('dataset_meta') or {}).get('classes') or ()
    rows |= {'classes': f'{len(classes)}: {", ".join(map(str, classes[:5]))}'} if classes else {}
    inside = {'config': 'cfg' in contents.meta, 'optimizer': 'optimizer' in contents.others}
    return rows | {name: 'inside' if found else 'not inside' for name, found in inside.items()}


def parts(model: Model) -> dict[str, str]:
    """Return the layout of a model, and the number of tensors and values in each part, as rows."""
    by_part: dict[str, list[Tensor]] = {}
    for name, x in model.weights.items():
        part = 'decoder' if name.startswith(DECODERS) else name.partition('.')[0]
        by_part.setdefault('encoder' if part == 'backbone' else part, []).append(x)
    rows = {'layout': '; '.join([whose(model.layout), *left_out_lines(model.left_out)])}
    for part, tensors in by_part.items():
        kinds = sorted({str(x.dtype).removeprefix('torch.') for x in tensors})
        rows[part] = f'{len(tensors)} tensors, {sum(x.numel() for x in tensors):,} numbers, {", ".join(kinds)}'
    return rows | sizes(model.weights, model.layout.kind)


def sizes(weights: Mapping[str, Tensor], kind: str) -> dict[str, str]:
    """Return the sizes of an encoder, and the name by which `get_model` builds it, if it has one, as rows."""
    dims, channels, patch_size, _ = weights[f'{ENCODER}patch_embed.proj.weight'].shape
    found = (re.match(rf'{ENCODER}(layers\.\d+\.)?blocks\.\d+\.', name) for name in weights)
    blocks = dict.fromkeys((one[0], one[1]) for one in found if one)
    depths = tuple(Counter(stage for _, stage in blocks).values())
    archs = SWIN_ARCHS if kind == 'swin' else VIT_ARCHS
    same = [
        name for name, x in archs.items() if (x['embed_dims'], x.get('depths', (x.get('depth'),))) == (dims, depths)
    ]
    names = [name for name, (_, arch) in MODELS_BY_NAME.items() if arch in same and kind in name]
    shape = f'{dims} channels, blocks {depths}, patches of {patch_size} px, images of {channels} channels'
    return {'sizes': shape} | ({'get_model': names[0]} if names else {})


def try_config(config: Config, file: str, prefix: str | None) -> LoadReport | str:
    """Load the file into the backbone of a config, with the prefix and `min_share` of its `init_cfg`."""
    if 'backbone' not in config.get('model', {}):
        raise ValueError(f'{config.filename} has no model.backbone to load weights into')
    init_default_scope(config.get('default_scope', 'mmpretrain'))
    load = config.model.backbone.get('init_cfg')
    load = load if isinstance(load, dict) and load.get('type') == 'Pretrained' else {}
    share = load.get('min_share', MIN_SHARE)
    with quiet_log(logging.ERROR):  # the report is printed
        backbone = MODELS.build(config.model.backbone)
        if not isinstance(backbone, Encoder):
            return load_by_name(backbone, file, prefix or load.get('prefix') or ENCODER)
        return load_backbone(backbone, file, prefix or load.get('prefix'), share)


def main(arguments: list[str] | None = None) -> None:
    """Read and print."""
    parser = argparse.ArgumentParser(description=f'What a checkpoint is (mixmae_mm {mixmae_mm.__version__})')
    parser.add_argument('file', type=expand, help='.pth or .safetensors')
    parser.add_argument('--config', type=expand, help='config whose backbone is to load it')
    parser.add_argument('--prefix', help="prefix of the encoder's names, if there are several encoders")
    parser.add_argument('--debug', action='store_true', help='show errors with their whole traceback')
    args = parser.parse_args(arguments)
    with readable_errors(args.debug):
        if args.config:
            print(try_config(Config.fromfile(args.config), args.file, args.prefix))
            return
        contents = read_contents(args.file)
        rows = facts(contents)
        try:
            rows |= parts(read_model(contents.weights, args.prefix))
        except ValueError as error:
            if args.prefix or not any(name.startswith(ENCODER) for name in contents.weights):
                raise
            rows['layout'] = str(error)  # a model around an encoder of another library
    print(args.file, *(f'{name:15} {row}' for name, row in rows.items()), sep='\n')


if __name__ == '__main__':
    main()
