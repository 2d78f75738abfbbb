"""The figures of a study: a column of attention for each run, a row of kept keys for each that keeps some."""

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_mixmae import build, tiny_mixedae, write_run
from tool_loading import load_tool

drawing = load_tool('../docs/figures/recognition.py')


@pytest.fixture
def photos(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    files = [tmp_path / f'{number}.png' for number in range(4)]
    for file, image in zip(files, pixels, strict=True):
        Image.fromarray(image).save(file)
    return [*map(str, files)]


def test_both_figures_are_written(tmp_path, photos):
    masked = dict(num_sources=1, mask_ratio=0.5)
    runs = [write_run(tmp_path / 'mae', tmp_path, tiny_mixedae, **masked)]
    runs += [write_run(tmp_path / f'mixed{number}', tmp_path, tiny_mixedae) for number in range(2)]
    words = [f'{run.name}={run}' for run in runs]
    drawing.main([*words, '--images', *photos, '--out', str(tmp_path)])
    attention, one = (Image.open(tmp_path / f'study_{name}.png') for name in ('attention', 'homologous'))
    drawing.main([*words[:2], '--images', *photos, '--out', str(tmp_path)])
    assert Image.open(tmp_path / 'study_attention.png').width < attention.width
    assert 2 * Image.open(tmp_path / 'study_homologous.png').height == one.height


def test_uniform_attention_is_drawn_evenly():
    model = build(tiny_mixedae, num_sources=1, mask_ratio=0.5)
    for block in model.backbone.blocks:
        torch.nn.init.zeros_(block.attn.qkv.weight)
    images = torch.zeros(2, 3, 32, 32)
    panels = drawing.attention_panels(model, images, np.zeros((2, 32, 32, 3), np.uint8), 'MAE')
    assert [panel.title for panel in panels] == ['MAE', 'MAE']
    assert all((panel.image == panel.image[0, 0]).all() and panel.image[0, 0].max() > 100 for panel in panels)


def test_drawings_are_stacked():
    drawn = drawing.stacked([Image.new('RGB', (2, 1), 'red'), Image.new('RGB', (1, 2), 'blue')])
    red, blue, white = (255, 0, 0), (0, 0, 255), (255, 255, 255)
    assert [*map(tuple, np.asarray(drawn).reshape(-1, 3).tolist())] == [red, red, blue, white, blue, white]
