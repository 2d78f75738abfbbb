"""The tools that draw features of patches."""

import re

import numpy as np
import pytest
from PIL import Image
from tiny_mixmae import tiny_mixedae, write_files
from tool_loading import load_tool

from mixmae_mm.apis.patch_features import Tapped, patch_extractor
from mixmae_mm.apis.patch_pca import principal_components
from mixmae_mm.apis.patch_similarity import best_match, unit
from mixmae_mm.models import MixingViT, MixMIMSwin

pca = load_tool('visualization/patch_pca.py')
similarity = load_tool('visualization/patch_similarity.py')


def blocky(shape=(2, 4, 4, 6), seed=0):
    return np.random.default_rng(seed).normal(size=shape) * np.arange(6, 0, -1) ** 2


def test_colors_are_the_components_and_the_grays_each_of_them():
    features, images = blocky(), np.zeros((2, 16, 16, 3), np.uint8)
    components = principal_components(features)
    rows = pca.rows_of(images, components, None)
    for number, row in enumerate(rows):
        color = row[1].image[::4, ::4]
        for i in range(3):
            scores = components.scores[..., i]
            low, high = np.percentile(scores, [2, 98])
            level = 255 * ((scores[number] - low) / (high - low)).clip(0, 1)
            assert abs(color[..., i] - level).max() <= 0.5 + 1e-6
            assert (row[2 + i].image[::4, ::4] == color[..., i : i + 1]).all()


def test_foreground_is_the_side_of_the_threshold_and_the_rest_is_gray():
    features = blocky()
    above, below = (pca.find_foreground(features, side, 0.5) for side in ('above', 'below'))
    assert (above ^ below).all()
    first = principal_components(features).scores[..., 0]
    assert first[above].min() > first[below].max()
    rows = pca.rows_of(np.zeros((2, 4, 4, 3), np.uint8), principal_components(features, among=above), above)
    assert (rows[0][1].image[~above[0]] == 225).all()
    assert (rows[0][1].image[above[0]] != 225).any()


@pytest.mark.parametrize(
    ('method', 'stage'), [(tiny_mixedae, []), (tiny_mixedae, ['--stage', '0']), (None, ['--stage', '1'])]
)
def test_pca_command_line(five_images, tmp_path, capsys, method, stage):
    config, checkpoint = write_files(tmp_path, *([method] if method else []))
    pca.main([config, checkpoint, '--out', str(tmp_path / 'new/out.png'), '--num-images', '3', *stage])
    printed = capsys.readouterr().out
    shares = [float(share) for share in re.findall(r'([\d.]+)%', printed)]
    assert '3 image(s), components with' in printed
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) <= 100.1
    with Image.open(tmp_path / 'new/out.png') as sheet:
        assert sheet.width == 5 * 128 + 6 * 10


def test_an_image_with_itself_matches_patch_by_patch(five_images, tmp_path, capsys):
    config, checkpoint = write_files(tmp_path, tiny_mixedae)
    same = [five_images[0][0]] * 2
    points = ['--points', '0.1,0.1', '0.6,0.9']
    similarity.main([config, checkpoint, '--images', *same, '--out', str(tmp_path / 'out.png'), *points])
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3:-1] == [
        'row, column (0, 0) of A, (0, 0) of B: 1.000, each the best of the other',
        'row, column (3, 2) of A, (3, 2) of B: 1.000, each the best of the other',
    ]


def test_similarity_maps_are_on_one_scale_and_marks_on_the_matches():
    features = unit(blocky((2, 4, 4, 6)))
    matches = [best_match((1, 2), *features), best_match((3, 0), *features)]
    rows = similarity.rows_of(np.zeros((2, 8, 8, 3), np.uint8), features, matches)
    assert [len(row) for row in rows] == [2, 2, 2]
    for row, match in zip(rows[1:], matches, strict=True):
        own, other = (tile.image[::2, ::2].astype(int).sum(-1) for tile in row)
        cosines = features @ features[0][match.place]
        assert own[match.place] == max(own.max(), other.max())
        assert np.unravel_index(other.argmax(), (4, 4)) == match.best
        order = np.argsort(cosines.ravel())
        assert (np.diff(np.stack([own, other]).ravel()[order]) >= -3).all()  # brighter is more alike, in both
        assert row[1].below == f'{cosines[1].min():.2f} to {cosines[1].max():.2f}'
        mark = row[1].marks[0]
        assert (int(mark.y * 4), int(mark.x * 4)) == match.best
    assert [mark.color for mark in rows[0][0].marks] == [row[0].marks[0].color for row in rows[1:]]


def test_wrong_arguments(five_images, tmp_path):
    config, checkpoint = write_files(tmp_path, tiny_mixedae)
    pair, out = ['--images', *five_images[0][:2]], ['--out', str(tmp_path / 'out.png')]
    for arguments, said in (
        ([*pair, '--stage', '2'], 'error: there is no block 2: this encoder has 2, 0 to 1'),
        (['--images', five_images[0][0], 'missing.png'], 'error: missing.png: FileNotFoundError'),
        ([*pair, '--cfg-options', 'model.backbone.out_type=avg_featmap'], "error: the encoder's last map is one cell"),
    ):
        with pytest.raises(SystemExit, match=said):
            similarity.main([config, checkpoint, *out, *arguments])
    assert not (tmp_path / 'out.png').exists()


def test_tapped_gives_what_the_stage_put_out():
    import torch

    arch = dict(embed_dims=8, depths=(1, 1), num_heads=(1, 1))
    images = torch.randn(2, 3, 16, 24)
    swin = MixMIMSwin(arch, img_size=16, patch_size=2, window_sizes=(4, 4), out_indices=(0, 1)).eval()
    vit = MixingViT(dict(embed_dims=8, depth=2, num_heads=2), img_size=16, patch_size=4, out_indices=(0, 1)).eval()
    for encoder in (swin, vit):
        with torch.no_grad():
            maps = encoder(images)
            for stage in (0, 1, -1):
                found = Tapped(encoder, stage)(images)[0]
                assert torch.allclose(found, maps[stage], atol=1e-4) == (encoder is swin or stage != 0)
                assert found.shape == maps[stage].shape
    raw = torch.nn.functional.layer_norm(vit(images)[0].permute(0, 2, 3, 1), (8,)).permute(0, 3, 1, 2)
    assert torch.allclose(Tapped(vit, 0)(images)[0], raw, atol=1e-5)
    with pytest.raises(ValueError, match=r'^block 1 is not run: out_indices \(0,\) asks for earlier ones only$'):
        Tapped(MixingViT(dict(embed_dims=8, depth=2, num_heads=2), out_indices=(0,)), 1)
    with pytest.raises(ValueError, match='^Linear has no stages that are known'):
        Tapped(torch.nn.Linear(1, 1), 0)
    assert callable(patch_extractor)
