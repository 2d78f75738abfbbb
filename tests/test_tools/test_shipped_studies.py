"""The studies of projects/studies: their settings build, and their committed results are of these settings."""

import pytest
from mmengine.config import Config
from shipped_configs import build_model, each
from tool_loading import load_tool

study = load_tool('analysis_tools/study.py')
FILES = sorted((study.TOOLS.parent / 'projects/studies').glob('*.py'))


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch):
    monkeypatch.chdir(study.TOOLS.parent)


@each(FILES)
def test_each_run_builds_another_model(path):
    settings = study.Study(path)
    for part in [*settings.runs.values(), *settings.transfers.values()]:
        options = settings.options | part.get('options', {}) if part in settings.runs.values() else part['options']
        config = Config.fromfile(part.get('config', part.get('encoder')))
        before = config.to_dict()
        config.merge_from_dict(options if 'config' in part else {})
        assert (config.to_dict() != before) == ('config' in part)
        if config.model.backbone.get('init_cfg'):
            config.model.backbone.init_cfg = None
        build_model(config)
    trained = [settings.wanted(name)['train'] for name, run in settings.runs.items() if 'config' in run]
    assert len({*trained}) == len(trained)


@each(FILES)
def test_committed_results_are_of_these_settings(path):
    settings = study.Study(path)
    for name, seeds in settings.results.items():
        for seed, found in seeds.items():
            assert int(seed) in settings.seeds
            assert found['how'] == {title: settings.wanted(name)[title] for title in found['how']}
            assert {key.partition('.')[0] for key in found['measures']} == {*found['how']}
