"""Which batch fits: what is counted and what follows, and that the table of docs/recipes.md follows from the rule."""

import re
import sys
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from tool_loading import load_tool

ROOT = Path(__file__).parents[2]
MICRO = ROOT / 'configs/mixmae/mixmae_mixmim-swin-micro_1xb64-coslr-40e_materials-64px.py'
RECIPES = (ROOT / 'docs/recipes.md').read_text()


@pytest.fixture(scope='module')
def fits():
    sys.path.append(str(ROOT / 'tools/benchmarks'))
    return load_tool('benchmarks/fits.py')


def need(fits, fixed, image, group=2):
    return fits.Need('a config', False, 224, 0, fixed, image, group)


def test_a_batch_fills_nine_tenths_in_whole_groups(fits):
    # 10 GB: 9 to be used, 2 are fixed, 7 for images of 100 MB
    assert need(fits, 2e9, 100e6).batch(10) == 70
    assert need(fits, 2e9, 100e6, group=4).batch(10) == 68
    assert need(fits, 9e9, 100e6).batch(10) == 0


def test_a_config_is_counted_without_being_built(fits):
    settings = Config.fromfile(MICRO).model.to_dict()
    settings['backbone']['with_cp'] = True
    found = fits.describe(str(MICRO), settings, 64, 1e6, half=False)
    init_default_scope('mmpretrain')
    parameters = list(MODELS.build(settings).parameters())
    trained = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
    assert found.parameters == sum(parameter.numel() for parameter in parameters) > trained
    assert found.fixed == 4 * found.parameters + 12 * trained
    assert (found.checkpointing, found.group) == (True, 2)


def test_the_table_of_the_page_follows_from_the_rule(fits):
    row = r'^\| (MixMAE|MixedAE) \w+ \| (?:yes|no) \| ([\d.]+) \| (\d+) \| ((?:\d+ \|? ?){6})'
    rows = re.findall(row, RECIPES, re.MULTILINE)
    assert len(rows) == 10
    for method, fixed, image, batches in rows:
        group = dict(MixMAE=2, MixedAE=4)[method]
        stated = [int(batch) for batch in re.findall(r'\d+', batches)]
        for gigabytes, batch in zip((8, 12, 16, 24, 40, 80), stated, strict=True):
            # the page rounds the image to whole MB, the rest to 0.1 GB
            follows = need(fits, float(fixed) * 1e9, float(image) * 1e6, group).batch(gigabytes)
            assert follows == pytest.approx(batch, rel=0.05, abs=group)
