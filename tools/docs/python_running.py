"""Run the Python code of pages as it stands, in a folder with small files under the names that it uses.

The blocks of a page run one after another in one namespace. Blocks that are configs, or parts of one, are loaded beside
ours, and their model and transforms are built.
"""

import ast
import contextlib
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from commands import ROOT, python_of
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import MODELS, init_default_scope
from PIL import Image

from mixmae_mm.apis import export, get_model, save_encoder
from mixmae_mm.apis.model import MODELS_BY_NAME
from mixmae_mm.models import MixMIMSwin
from mixmae_mm.utils.config_keys import TOP, check_names

SMALL = dict(embed_dims=8, depths=(1, 1), num_heads=(1, 2))
"""Stand-in for the arch of the encoder that pages build."""
MICRO = {
    'CONFIG': 'mixmae/mixmae_mixmim-swin-micro_1xb64-coslr-40e_materials-64px.py',
    'CLASSIFIER': 'classification/mixmim-swin-micro-scratch_1xb64-coslr-10e_materials-64px.py',
    'DETECTOR': 'detection/mask-rcnn_mixmim-swin-micro-scratch_fpn_1xb16-20e_materials276-64px.py',
    'SEGMENTER': 'segmentation/upernet_mixmim-swin-micro-scratch_1xb16-20e_materials280-64px.py',
}
"""Stand-ins for the configs of a reader; their checkpoints are untrained."""
OPTIONAL = {'DETECTOR': 'mmdet', 'SEGMENTER': 'mmseg', 'onnxruntime': 'onnxruntime'}
"""Optional libraries, by a word of the blocks that need them; without the library these blocks are skipped."""
BASE = "_base_ = './mixmae_mixmim-swin-base-w14_1xb128-accu4-amp-coslr-300e_custom.py'\n"
"""Base of the blocks that are only part of a config."""


@contextlib.contextmanager
def empty_folder() -> Iterator[Path]:
    """Work in an empty folder, removed afterwards."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)


def run_page(page: Path) -> Iterator[str]:
    """Run the blocks of a page; yield each error, with its line."""
    missing = [word for word, library in OPTIONAL.items() if importlib.util.find_spec(library) is None]
    blocks = [(line, source) for line, source in python_of(page) if not any(word in source for word in missing)]
    small = {'mixmim-swin-base': (partial(MixMIMSwin, window_sizes=(14, 14), out_indices=(1,)), SMALL)}
    with empty_folder() as folder, mock.patch.dict(MODELS_BY_NAME, small):
        names = write_files(folder, ''.join(source for _, source in blocks))
        for line, source in blocks:
            try:
                if is_config(source):
                    config = page_config(source)
                    init_default_scope(config.default_scope)
                    with torch.device('meta'):
                        MODELS.build(config.model)
                    Compose(config.train_dataloader.dataset.get('pipeline', []))
                else:
                    exec(compile(source, page.name, 'exec'), names)
            except Exception as error:
                yield f'{page.name}:{line}: {type(error).__name__}: {error}'


def is_config(source: str) -> bool:
    """Return whether a block only assigns settings of a config."""
    targets = [getattr(node, 'targets', [None])[0] for node in ast.parse(source).body]
    return {getattr(target, 'id', None) for target in targets} <= {*TOP, '_base_'}


def page_config(source: str) -> Config:
    """Load a config of a page as if it stood beside ours."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / 'configs', Path(folder, 'configs'))
        path = Path(folder, 'configs/mixmae/of_a_page.py')
        path.write_text(source if source.startswith('_base_') else BASE + source)
        config = Config.fromfile(path)
        warnings = check_names(config)
    if warnings:
        raise ValueError(warnings)
    return config


def write_files(folder: Path, text: str) -> dict:
    """Write the files that blocks name; return the variables that they expect to be defined."""
    (folder / 'folder').mkdir()
    array = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for name in ('image.jpg', 'image.png', *(f'folder/{number}.png' for number in range(4))):
        Image.fromarray(array).save(folder / name)
    for name in (f'{part}/{number}.png' for part in ('train', 'val') for number in range(2) if 'img_dir' in text):
        for kind, pixels in (('img_dir', array), ('ann_dir', array[..., 0] % 2)):
            (folder / kind / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / kind / name)
    for name, config in MICRO.items():
        if f'{name}.py' in text:
            Config.fromfile(ROOT / 'configs' / config).dump(folder / f'{name}.py')
            save_untrained(folder / f'{name}.py', folder / f'{"CHECKPOINT" if name == "CONFIG" else name}.pth')
    if 'pretrained.pth' in text or 'encoder.' in text:
        encoder = get_model('mixmim-swin-base')
        torch.save(encoder.state_dict(), folder / 'pretrained.pth')
        save_encoder(encoder, folder / 'encoder.safetensors')
    if 'encoder.onnx' in text:
        exportable = export.ExportableModel(encoder)
        with mock.patch.object(export, 'trace', cache(export.trace)):  # which takes longer than the rest
            export.export_program(exportable, folder / 'encoder.pt2', (224, 224))
            export.export_onnx(exportable, folder / 'encoder.onnx', (224, 224))
    return dict(array=array, pillow_image=Image.fromarray(array))


def save_untrained(config: Path, path: Path) -> None:
    """Write the untrained model of a config as a checkpoint."""
    settings = Config.fromfile(config)
    init_default_scope(settings.default_scope)
    torch.save(dict(state_dict=MODELS.build(settings.model).state_dict(), meta={}), path)
