"""Hours of a training: the rule by hand, and that the tables of docs/recipes.md follow from it."""

import re
from pathlib import Path

import pytest
from tool_loading import load_tool

hours = load_tool('benchmarks/hours.py')
ROOT = Path(__file__).parents[2]
ROWS = re.findall(r'^\| `(\S+)` \| (\d+) \| ([\d.]+) \| (.*) \|$', (ROOT / 'docs/recipes.md').read_text(), re.MULTILINE)


def test_the_rule_by_hand():
    training = hours.Training(multiply_adds=10**9, passes=3, epochs=6)
    assert training.hours(10**6, 1e13) == pytest.approx(6 * 10**6 * 6 * 10**9 / 1e13 / 3600) == pytest.approx(1.0)
    assert [hours.rounded(x) for x in (0.0516, 1.04, 65.2, 1234)] == ['0.052', '1', '65', '1,200']


def test_a_training_is_read_from_the_config_and_its_metafile():
    base = hours.training_of(ROOT / 'configs/mixmae/mixmae_mixmim-swin-base-w14_16xb128-amp-coslr-600e_in1k.py')
    assert (base.passes, base.epochs) == (3, 600)
    assert base.multiply_adds == pytest.approx(19.0e9, rel=1e-3)
    assert hours.training_of(ROOT / 'configs/classification/vit-huge-p14_8xb128-amp-coslr-50e_in1k.py').passes == 4
    with pytest.raises(ValueError, match='no FLOPs in .*: use a pre-training'):
        hours.training_of(ROOT / 'configs/detection/mask-rcnn_vit-base_fpn_8xb2-amp-ms-1x_coco.py')


@pytest.mark.parametrize('row', ROWS, ids=[row[0] for row in ROWS])
def test_a_row_of_the_page_is_what_the_tool_prints(row, capsys):
    name, epochs, *numbers = row
    (path,) = (ROOT / 'configs').glob(f'*/{name}.py')
    hours.main([str(path), '--num-images', '100000', '--epochs', epochs])
    assert capsys.readouterr().out.splitlines()[-1] == f'| `{name}` | {" | ".join([epochs, *numbers])} |'


def test_the_page_has_the_sizes_that_it_recommends():
    assert {re.search('tiny|small|base|large', row[0])[0] for row in ROWS} == {'tiny', 'small', 'base', 'large'}
