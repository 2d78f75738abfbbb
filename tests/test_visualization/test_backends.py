"""Configs of backends: one a file, each added to a run by two lines; images for MLflow."""

from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import VISBACKENDS, init_default_scope
from mmengine.visualization import MLflowVisBackend

from mixmae_mm.visualization.backends import MLflowImagesBackend

CONFIGS = Path(__file__).parents[2] / 'configs'
FILES = sorted((CONFIGS / '_base_/vis').glob('*.py'))
IMAGE = np.full((8, 9, 3), (200, 100, 0), np.uint8)


def users_config(folder, name):
    """The config that a user writes, as the notes of the files say."""
    files = ('mixmae/mixmae_mixmim-swin-micro_1xb64-coslr-40e_materials-64px.py', f'_base_/vis/{name}.py')
    bases = [str(CONFIGS / file) for file in files]
    path = folder / 'mine.py'
    path.write_text(f'_base_ = {bases}\nvisualizer = dict(vis_backends=[*_base_.vis_backends, *_base_.{name}])\n')
    return Config.fromfile(path)


def test_there_is_a_file_for_each_of_mmengines_backends():
    theirs = [name for name, kind in VISBACKENDS.module_dict.items() if kind.__module__.startswith('mmengine.')]
    assert {path.stem for path in FILES} == {name.removesuffix('VisBackend').lower() for name in theirs} - {'local'}


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_a_run_gets_one_more_backend_by_the_two_lines_of_the_note(tmp_path, path):
    init_default_scope('mmpretrain')
    note = path.read_text()
    assert f"'../_base_/vis/{path.stem}.py'" in note
    assert f'visualizer = dict(vis_backends=[*_base_.vis_backends, *_base_.{path.stem}])' in note
    backends = users_config(tmp_path, path.stem).visualizer.vis_backends
    assert [backend.type for backend in backends[:2]] == ['LocalVisBackend', 'TensorboardVisBackend']
    built = VISBACKENDS.build(dict(backends[2], save_dir=str(tmp_path)))
    assert type(built).__name__.lower().startswith(path.stem)
    assert len(backends) == 3


def test_mlflow_is_given_names_with_extension_and_step(monkeypatch):
    asked = []
    monkeypatch.setattr(MLflowVisBackend, 'add_image', lambda self, *given: asked.append((given[0], given[2])))
    backend = MLflowImagesBackend.__new__(MLflowImagesBackend)  # MLflow may not be installed
    backend.add_image('reconstructions', IMAGE)
    backend.add_image('reconstructions', IMAGE, 7)
    assert asked == [('reconstructions/0.png', 0), ('reconstructions/7.png', 7)]
