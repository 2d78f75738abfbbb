"""What the tools draw of a model for images with five bands of 16 bits."""

import functools

import numpy as np
import pytest
from five_bands import READING, color_of, with_five_bands, write_five_bands
from mmengine.config import Config
from PIL import Image
from tiny_mixmae import tiny_mixedae, tiny_model, write_files
from tool_loading import load_tool

from mixmae_mm.apis import ReconstructionInferencer
from mixmae_mm.visualization import image_grid


@pytest.fixture(params=[tiny_model, tiny_mixedae])
def run(request, tmp_path):
    """Config, checkpoint and folder of a run."""
    write_five_bands(tmp_path / 'images')
    config, checkpoint = write_files(tmp_path, functools.partial(with_five_bands, request.param))
    settings = Config.fromfile(config)
    dataset = settings.train_dataloader.dataset
    dataset.extensions = ['.npy']
    dataset.pipeline = [READING]
    settings.dump(config)
    return config, checkpoint, tmp_path / 'images'


def test_originals_have_the_colors_of_the_first_three_bands(run, tmp_path):
    config, checkpoint, folder = run
    files = [str(folder / f'{number}.npy') for number in range(4)]
    out = str(tmp_path / 'out.png')
    load_tool('visualization/reconstructions.py').main([config, checkpoint, '--images', *files, '--out', out])
    drawn = Image.open(out)
    for column in range(2):
        x, y = image_grid.panel_place(0, column, (128, 128))
        assert np.abs(np.array(drawn.getpixel((x + 60, y + 60))) - color_of(files[column])).max() <= 1
    result = ReconstructionInferencer(config, checkpoint, device='cpu')(files)
    assert result.sources.shape[-1] == result.reconstructed.shape[-1] == 5
    assert np.abs(result.sources[0, 1, 0, 0, :3] - color_of(files[1])).max() <= 1
    assert np.isfinite(result.errors).all()


@pytest.mark.parametrize(
    ('tool', 'options'),
    [
        ('attention_maps', ['--num-images', '1']),
        ('attention_maps', ['--num-images', '1', '--mix']),
        ('patch_pca', ['--num-images', '2', '--stage', '0']),
        ('patch_similarity', ['--stage', '0', '--images', '{0}/0.npy', '{0}/1.npy']),
        ('neighbors', ['--of', '{0}', '--among', '{0}']),
    ],
)
def test_the_other_tools_show_the_same(run, tmp_path, tool, options):
    config, checkpoint, folder = run
    out = tmp_path / 'out.png'
    options = [option.format(folder) for option in options]
    load_tool(f'visualization/{tool}.py').main([config, checkpoint, *options, '--out', str(out)])
    colors = {tuple(color) for color in np.asarray(Image.open(out).convert('RGB')).reshape(-1, 3).tolist()}
    wanted = [color_of(file) for file in folder.iterdir()]
    assert min(np.abs(np.array(list(colors)) - one).max(1).min() for one in wanted) <= 1
