import shutil

import numpy as np
import pytest
from PIL import Image
from tiny_mixmae import tiny_mixedae, write_files
from tool_loading import load_tool

from mixmae_mm.apis import FeatureExtractor
from mixmae_mm.apis.saved import check_same_encoder

tool = load_tool('visualization/neighbors.py')


@pytest.fixture
def files(tmp_path, five_images):
    """Config, checkpoint, and the five images' paths; the last two are in a folder of their own."""
    config, checkpoint = write_files(tmp_path, tiny_mixedae)
    (tmp_path / 'images/<b>&').mkdir()
    paths = five_images[0]
    for number in (3, 4):
        paths[number] = shutil.move(paths[number], tmp_path / f'images/<b>&/{number}.png')
    return config, checkpoint, paths


def by_loops(config, checkpoint, asked, among, center):
    """Files among others from the most similar down, with cosines."""
    features = dict(zip(among, FeatureExtractor.from_config(config, checkpoint)(list(among)), strict=True))
    less = np.mean(list(features.values()), 0) if center else 0
    moved = {name: one - less for name, one in features.items()}
    cosines = {
        name: float(one @ moved[asked] / np.linalg.norm(one) / np.linalg.norm(moved[asked]))
        for name, one in moved.items()
        if name != asked
    }
    return sorted(cosines.items(), key=lambda pair: -pair[1])


@pytest.mark.parametrize('center', [False, True])
def test_neighbors_are_those_of_loops(files, tmp_path, capsys, center):
    config, checkpoint, paths = files
    out = ['--out', str(tmp_path / 'new/out.png'), *(['--center'] if center else [])]
    tool.main([config, checkpoint, '--of', paths[1], '--among', str(tmp_path / 'images'), '--k', '3', *out])
    expected = by_loops(config, checkpoint, paths[1], paths, center)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2] == f'{paths[1]}: {expected[0][0]} ({expected[0][1]:.3f})'
    page = (tmp_path / 'new/out.html').read_text()
    for name, cosine in expected[:3]:
        assert f'<b>{cosine:.3f}</b><br>{str(name).replace("<b>&", "&lt;b&gt;&amp;")}<' in page
    assert '<b>&' not in page
    assert page.count('<img') == 4
    with Image.open(tmp_path / 'new/out.png') as sheet:
        assert sheet.width == 4 * 128 + 5 * 10


def test_saved_features_give_the_same(files, tmp_path, capsys):
    config, checkpoint, paths = files
    FeatureExtractor.from_config(config, checkpoint).save(str(tmp_path / 'images'), tmp_path / 'features.npz')
    said = []
    for where in (['--among', str(tmp_path / 'images')], ['--features', str(tmp_path / 'features.npz')]):
        tool.main([config, checkpoint, '--of', *paths[:2], *where, '--out', str(tmp_path / 'out.png')])
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]


def test_features_of_another_encoder_or_none(files, tmp_path):
    config, checkpoint, paths = files
    names, features = FeatureExtractor.from_config(config, checkpoint).with_names(paths)
    file, out = tmp_path / 'features.npz', str(tmp_path / 'out.png')
    for arrays, said in (
        (dict(names=names, features=features[:, ::-1]), 'are not of this encoder: those of .*, have a cosine of'),
        (dict(names=names, features=features[:, 1:]), 'holds 7 features an image and this encoder gives 8'),
        (dict(names=['gone.png', *names[1:]], features=features), 'names gone.png, which is not there'),
        (dict(names=names[1:], features=features), r'holds features \(5, 8\) of 4 images'),
        (dict(features=features), 'holds no "features" and "names"'),
    ):
        np.savez(file, **arrays)
        with pytest.raises(SystemExit, match=said):
            tool.main([config, checkpoint, '--of', paths[0], '--features', str(file), '--out', out])
    with pytest.raises(SystemExit, match='there is no file .*missing.npz of saved features'):
        tool.main([config, checkpoint, '--of', paths[0], '--features', 'missing.npz', '--out', out])
    with pytest.raises(SystemExit, match='is the only image among those given'):
        tool.main([config, checkpoint, '--of', paths[0], '--among', paths[0], '--out', out])
    assert not (tmp_path / 'out.png').exists()


def test_features_of_one_image_are_compared_too(files):
    config, checkpoint, paths = files
    extract = FeatureExtractor.from_config(config, checkpoint)
    names, features = extract.with_names(paths[:1])
    check_same_encoder(extract, names, features, 'features.npz')
    with pytest.raises(ValueError, match=r'a cosine of -1\.000 with them'):
        check_same_encoder(extract, names, -features, 'features.npz')


def test_a_link_to_an_image_is_that_image(files, tmp_path):
    paths = files[2]
    (tmp_path / 'link.png').symlink_to(paths[0])
    features = np.eye(3) + 0.1
    names = [str(tmp_path / 'link.png'), *paths[1:3]]
    found = tool.find([paths[0]], features[:1], names, features, 5, False)
    assert found.found == [paths[1:3]]
    assert len(found.cosines[0]) == 2


def test_folders_stand_below_where_there_are_several():
    assert tool.below('/a/cat/1.png', 0.876, True) == '0.88 cat'
    assert tool.below('/a/cat/1.png', None, True) == 'cat'
    assert tool.below('/a/cat/1.png', 0.5, False) == '0.50'
