"""Mean and standard deviation of each channel, against numpy on all pixels at once."""

import functools
import json

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image
from tool_loading import load_tool

tool = load_tool('analysis_tools/mean_std.py')


def photos(folder):
    """Write images of several sizes, and return all their pixels (N, 3)."""
    rng, pixels = np.random.default_rng(0), []
    for number, size in enumerate([(5, 9), (20, 3), (1, 1), (8, 8)]):
        pixels.append(rng.integers(0, 40 * number + 20, (*size, 3), dtype=np.uint8))
        Image.fromarray(pixels[-1]).save(folder / f'{number}.png')
    return np.concatenate([one.reshape(-1, 3) for one in pixels]).astype(np.float64)


def run(capsys, *arguments):
    tool.main([str(argument) for argument in arguments])
    return capsys.readouterr().out


@pytest.mark.parametrize('workers', [0, 2])
def test_numbers_are_those_of_numpy(tmp_path, capsys, workers):
    pixels = photos(tmp_path)
    result = json.loads(run(capsys, tmp_path, '--json', '--workers', workers).splitlines()[-1])
    np.testing.assert_allclose(result['mean'], pixels.mean(0), rtol=1e-13)
    np.testing.assert_allclose(result['std'], pixels.std(0), rtol=1e-13)
    assert (result['images'], result['pixels'], result['corrupt']) == (4, 170, [])


def test_large_numbers_lose_nothing(tmp_path, capsys):
    """With values near 1e9, a sum of squares in float64 would lose the standard deviation to rounding."""
    rng = np.random.default_rng(0)
    for number in range(3):
        np.save(tmp_path / f'{number}.npy', (rng.integers(0, 5, (6, 4, 2)) * 64 + 2.0**30).astype(np.float32))
    pixels = np.concatenate([np.load(path).reshape(-1, 2) for path in tmp_path.iterdir()]).astype(np.float64)
    result = json.loads(run(capsys, tmp_path, '--channels', '--json').splitlines()[-1])
    np.testing.assert_allclose(result['std'], pixels.std(0), rtol=1e-8)


def test_merging_is_measuring_all_at_once():
    rng = np.random.default_rng(1)
    parts = [rng.normal(10 * n, n + 1, (n + 2, 3, 4)) for n in range(5)]
    whole = tool.moments(np.concatenate([part.reshape(-1, 1, 4) for part in parts]))
    for found, expected in zip(functools.reduce(tool.merge, map(tool.moments, parts)), whole, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_some_images_drawn_at_random(tmp_path, capsys):
    photos(tmp_path)
    drawn = {run(capsys, tmp_path, '--json', '--num-images', 2, '--seed', seed) for seed in (0, 0, 1, 2, 3)}
    assert all(json.loads(one)['images'] == 2 for one in drawn)
    assert 1 < len(drawn) < 5


def test_the_last_lines_are_a_config(tmp_path, capsys):
    pixels = photos(tmp_path)
    (tmp_path / 'x.png').write_text('no pixels')
    text = run(capsys, tmp_path)
    config = Config.fromstring(text[text.index('model = ') :], '.py').model.data_preprocessor
    np.testing.assert_allclose(config.mean, pixels.mean(0), rtol=1e-5)
    np.testing.assert_allclose(config.std, pixels.std(0), rtol=1e-5)
    assert f'1 corrupt and left out:\n  {tmp_path}/x.png: not an image' in text
    assert '4 images, 170 pixels; files: 5 .png; no files left out' in text
    assert 'is constant' not in text


def test_chosen_channels_and_one_that_says_nothing(tmp_path, capsys):
    pixels = np.random.default_rng(0).integers(0, 5000, (4, 6, 5), dtype=np.uint16)
    pixels[..., 3] = 7
    np.save(tmp_path / 'a.npy', pixels.transpose(2, 0, 1))
    np.save(tmp_path / 'b.npy', pixels.transpose(2, 0, 1))
    (tmp_path / 'c.png').write_text('not asked for')
    text = run(capsys, tmp_path, '--channels', 3, 1, '--channels-first')
    assert '2 images, 48 pixels;' in text
    assert f'mean=[7, {pixels[..., 1].mean():.6g}]' in text
    assert f'std=[0, {pixels[..., 1].std():.6g}]' in text
    assert 'standard deviation 0 is constant: leave it out with --channels' in text


def test_different_numbers_of_channels(tmp_path, capsys):
    for channels in (2, 3):
        np.save(tmp_path / f'{channels}.npy', np.zeros((4, 4, channels), np.uint8))
    with pytest.raises(SystemExit, match='error: .* 2 channels .* 3: choose those'):
        run(capsys, tmp_path, '--channels')


def test_nothing_to_read(tmp_path, capsys):
    (tmp_path / 'x.png').write_text('no pixels')
    with pytest.raises(SystemExit, match=r'none of 1 images .*/x\.png: not an image'):
        run(capsys, tmp_path)
    with pytest.raises(SystemExit, match='none of 0 images'):
        run(capsys, tmp_path, '--num-images', 0)


def test_images_are_read_as_a_config_reads_them(tmp_path, capsys):
    (tmp_path / 'set').mkdir()
    photos(tmp_path / 'set')
    load = dict(type='mixmae_mm.LoadRandomResizedCrop', scale=8, mode='L')
    dataset = dict(type='mixmae_mm.ImageFolder', extensions=['.PNG'], pipeline=[load])
    model = dict(backbone=dict(in_channels=1), data_preprocessor=dict(mean=[1.0], std=[2.0]))
    Config(dict(model=model, train_dataloader=dict(dataset=dataset))).dump(tmp_path / 'config.py')
    result = json.loads(run(capsys, tmp_path / 'set', '--config', tmp_path / 'config.py', '--json'))
    gray = np.concatenate([np.asarray(Image.open(path).convert('L')).ravel() for path in (tmp_path / 'set').iterdir()])
    np.testing.assert_allclose([result['mean'], result['std']], [[gray.mean()], [gray.std()]], rtol=1e-12)
    with pytest.raises(SystemExit):
        run(capsys, tmp_path, '--config', 'x.py', '--channels')
    assert 'not allowed with' in capsys.readouterr().err
