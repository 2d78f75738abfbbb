"""The studies of projects/studies: their settings build, and their committed results are of these settings."""

import json
from itertools import combinations

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image
from shipped_configs import build_model, each
from tool_loading import load_tool

study = load_tool('analysis_tools/study.py')
FILES = sorted((study.TOOLS.parent / 'projects/studies').glob('*.py'))


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch):
    monkeypatch.chdir(study.TOOLS.parent)


@each(FILES)
def test_each_run_trains_another_model_or_otherwise(path):
    settings, trained = study.Study(path), []
    for part in [*settings.runs.values(), *settings.transfers.values()]:
        config = Config.fromfile(part.get('config', part.get('encoder')))
        shared = settings.options if part in settings.runs.values() else {}
        config.merge_from_dict((shared | part.get('options', {})) if 'config' in part else {})
        config.model.backbone.init_cfg = None
        build_model(config)
        if 'config' in part:
            trained.append([config[key].to_dict() for key in ('model', 'train_cfg', 'optim_wrapper')])
    assert all(one != other for one, other in combinations(trained, 2))


@each(FILES)
def test_committed_results_are_of_these_settings(path):
    settings = study.Study(path)
    for name, seeds in settings.results.items():
        for seed, found in seeds.items():
            assert int(seed) in settings.seeds
            assert found['how'] == {title: settings.wanted(name)[title] for title in found['how']}
            assert {key.partition('.')[0] for key in found['measures']} == {*found['how']}


def test_masks_are_rendered_for_the_dense_probe(tmp_path):
    render = load_tool('../projects/studies/tools/render_masks.py')
    (tmp_path / 'images').mkdir()
    for split in ('train', 'val'):
        Image.new('RGB', (4, 3)).save(tmp_path / f'images/{split}.png')
        boxes = [(7, [[0, 0, 2, 0, 2, 2, 0, 2]]), (3, [[1, 1, 4, 1, 4, 3, 1, 3]])]
        instances = [
            dict(id=id, image_id=5, category_id=category, segmentation=outline, bbox=[0, 0, 1, 1], area=1, iscrowd=0)
            for id, (category, outline) in enumerate(boxes)
        ]
        images = [dict(id=5, file_name=f'{split}.png', width=4, height=3)]
        settings = dict(images=images, annotations=instances, categories=[dict(id=7, name='b'), dict(id=3, name='a')])
        (tmp_path / f'{split}.json').write_text(json.dumps(settings))
    command = [str(tmp_path), str(tmp_path / 'masks')]
    render.main(command)
    mask = np.asarray(Image.open(tmp_path / 'masks/ann/val/val.png'))
    assert mask.tolist() == [[2, 2, 0, 0], [2, 1, 1, 1], [0, 1, 1, 1]]
    assert Image.open(tmp_path / 'masks/img/train/train.png').size == (4, 3)
    with pytest.raises(SystemExit, match=r'masks is not empty: give a new folder'):
        render.main(command)


@pytest.mark.parametrize(
    ('images', 'categories', 'message'),
    [
        (['a/x.png', 'b/x.jpg'], 2, 'train.json has several images named x: masks are found by the name of the image'),
        (['x.png'], 255, 'train.json has 255 categories, but masks have at most 254'),
    ],
)
def test_what_masks_cannot_show_is_refused_before_anything_is_written(images, categories, message, tmp_path):
    images = [dict(id=id, file_name=name, width=4, height=3) for id, name in enumerate(images)]
    categories = [dict(id=id, name=str(id)) for id in range(categories)]
    (tmp_path / 'train.json').write_text(json.dumps(dict(images=images, annotations=[], categories=categories)))
    with pytest.raises(SystemExit, match=message):
        load_tool('../projects/studies/tools/render_masks.py').main([str(tmp_path), str(tmp_path / 'masks')])
    assert not (tmp_path / 'masks').exists()
