"""Run the Python of pages as it stands, in a folder where the files that it names are small ones of ours.

The blocks of a page run one after the other in one namespace. Blocks that are configs, or parts of one, are loaded
beside ours, and their model and transforms are built.
"""

import ast
import contextlib
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from command_finding import ROOT, python_of
from command_running import save_untrained
from mmengine.config import Config
from mmengine.registry import MODELS, TRANSFORMS, init_default_scope
from PIL import Image

from mixmae_mm.apis import get_model, save_encoder
from mixmae_mm.apis.export import Portable, export_onnx, export_program
from mixmae_mm.apis.model import MODELS_BY_NAME
from mixmae_mm.models import MixMIMSwin
from mixmae_mm.utils.config_keys import TOP, check_names

SMALL = dict(embed_dims=8, depths=(1, 1), num_heads=(1, 2))
"""What stands in for the arch of the encoder that pages name."""
MICRO = {
    'CONFIG': 'mixmae/mixmae_mixmim-swin-micro_1xb64-coslr-40e_shapes-64px.py',
    'CLASSIFIER': 'classification/mixmim-swin-micro-scratch_1xb64-coslr-10e_shapes-64px.py',
    'DETECTOR': 'detection/mask-rcnn_mixmim-swin-micro-scratch_fpn_1xb16-6e_shapes-64px.py',
    'SEGMENTER': 'segmentation/upernet_mixmim-swin-micro-scratch_1xb16-8e_shapes-64px.py',
}
"""Configs that stand in for those of a reader; their checkpoints are untrained."""
OPTIONAL = {'DETECTOR': 'mmdet', 'SEGMENTER': 'mmseg', 'onnxruntime': 'onnxruntime'}
"""Libraries without which blocks that say these words are passed over."""
BASE = "_base_ = './mixmae_mixmim-swin-base-w14_1xb128-accu4-amp-coslr-300e_custom.py'\n"
"""What a part of a config is read on top of."""


def run_page(page: Path) -> Iterator[str]:
    """Run the blocks of a page; yield what goes wrong, with the line."""
    blocks = [(line, source) for line, source in python_of(page) if not lacks(source)]
    with stand_ins(''.join(source for _, source in blocks)) as names:
        for line, source in blocks:
            try:
                if is_config(source):
                    with page_config(source) as config:
                        build_parts(config)
                else:
                    exec(compile(source, page.name, 'exec'), names)
            except Exception as error:
                yield f'{page.name}:{line}: {type(error).__name__}: {error}'


def lacks(source: str) -> bool:
    """Return whether a block needs a library that is not installed."""
    return any(word in source and importlib.util.find_spec(name) is None for word, name in OPTIONAL.items())


def is_config(source: str) -> bool:
    """Return whether a block only assigns settings of a config."""
    targets = [getattr(node, 'targets', [None])[0] for node in ast.parse(source).body]
    return {getattr(target, 'id', None) for target in targets} <= {*TOP, '_base_'}


@contextlib.contextmanager
def page_config(source: str) -> Iterator[Config]:
    """Load a config of a page as if it stood beside ours."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / 'configs', Path(folder, 'configs'))
        path = Path(folder, 'configs/mixmae/of_a_page.py')
        path.write_text(source if source.startswith('_base_') else BASE + source)
        yield Config.fromfile(path)


def build_parts(config: Config) -> None:
    """Build the model, without memory, and the transforms of a config.

    Raises:
        ValueError: nothing reads a setting of it.
    """
    wrong = check_names(config)
    if wrong:
        raise ValueError(wrong)
    init_default_scope(config.default_scope)
    with torch.device('meta'):
        MODELS.build(config.model)
    for transform in config.train_dataloader.dataset.get('pipeline', []):
        TRANSFORMS.build(transform)


@contextlib.contextmanager
def stand_ins(text: str) -> Iterator[dict]:
    """Work in a folder with the files that blocks name, and a small encoder under the name of a large one.

    Yields the variables that pages take as given.
    """
    maker = partial(MixMIMSwin, window_sizes=(14, 14), out_indices=(1,))
    small, before = {'mixmim-swin-base': (maker, SMALL)}, os.getcwd()
    with tempfile.TemporaryDirectory() as made, mock.patch.dict(MODELS_BY_NAME, small):
        os.chdir(made)
        try:
            yield write_files(Path(made), text)
        finally:
            os.chdir(before)


def write_files(folder: Path, text: str) -> dict:
    """Write the files that blocks name; return the variables that they take as given."""
    (folder / 'folder').mkdir()
    array = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for name in ('image.jpg', 'image.png', 'image.jpg', 'image.png', *(f'folder/{n}.png' for n in range(4))):
        Image.fromarray(array).save(name)
    for name, config in MICRO.items():
        if f'{name}.py' in text:
            Config.fromfile(ROOT / 'configs' / config).dump(folder / f'{name}.py')
            checkpoint = 'CHECKPOINT' if name == 'CONFIG' else name
            save_untrained(str(folder / f'{name}.py'), folder / f'{checkpoint}.pth')
    save_encoders(folder, text)
    return dict(array=array, pillow_image=Image.fromarray(array))


def save_encoders(folder: Path, text: str) -> None:
    """Write the encoder in the formats that a page names."""
    if not any(name in text for name in ('pretrained.pth', 'encoder.')):
        return
    encoder = get_model('mixmim-swin-base')
    torch.save(encoder.state_dict(), folder / 'pretrained.pth')
    save_encoder(encoder, folder / 'encoder.safetensors')
    if 'encoder.onnx' in text:
        portable = Portable(encoder)
        export_onnx(portable, folder / 'encoder.onnx', (224, 224))
        export_program(portable, folder / 'encoder.pt2', (224, 224))
