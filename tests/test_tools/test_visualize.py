"""The command line of the drawings: what is drawn of tiny models, what is printed, what is refused."""

import functools
import re
import shutil

import draw_attention
import draw_neighbors
import draw_segmentation
import numpy as np
import pytest
import torch
from five_channels import READING, color_of, with_five_channels, write_five_channels
from mmengine.config import Config
from PIL import Image
from tiny_mixmae import tiny_mixedae, tiny_model, write_files
from tool_loading import load_tool

from mixmae_mm import evaluation
from mixmae_mm.apis import FeatureExtractor, ReconstructionInferencer
from mixmae_mm.apis.attention_maps import AttentionWeights
from mixmae_mm.apis.model import ask_for_maps
from mixmae_mm.utils.launching import load_config
from mixmae_mm.visualization import Panel
from mixmae_mm.visualization.image_grid import GAP, MARGIN, panel_place

tool = load_tool('visualization/visualize.py')


def draw(files, tmp_path, what, *options):
    """Draw into a folder that is not there yet."""
    out = tmp_path / 'new/out.png'
    tool.main([what, *files, '--out', str(out), '--device', 'cpu', *map(str, options)])
    return Image.open(out)


def panel(image, row, column, left=0):
    """The 32 x 32 pixels of a panel."""
    x, y = panel_place(row, column, (128, 128), left=left)
    return np.asarray(image.crop((x, y, x + 128, y + 128)))[::4, ::4]


def columns(image):
    return (image.width - GAP) // (128 + GAP)


def channels_last(images):
    return images.permute(0, 2, 3, 1).numpy()


def test_reconstructions_of_the_configs_own_images(five_images, tmp_path, capsys):
    image = draw(write_files(tmp_path), tmp_path, 'reconstruct', '--num-mixtures', 2)
    assert '2 mixture(s) of 2 image(s) each. This flatters' in capsys.readouterr().out
    assert any((panel(image, 0, 0) == one).all() for one in channels_last(five_images[1]))


@pytest.mark.parametrize('num_sources', [4, 1])
def test_reconstructions_of_mixedae_and_mae(five_images, tmp_path, capsys, num_sources):
    mixing = dict(mask_ratio=0.5) if num_sources == 1 else {}
    files = write_files(tmp_path, tiny_mixedae, num_sources=num_sources, **mixing)
    image = draw(files, tmp_path, 'reconstruct', '--images', *five_images[0][:4])
    assert f'{4 // num_sources} mixture(s) of {num_sources} image(s)' in capsys.readouterr().out
    places = np.ndindex(4 // num_sources, num_sources)
    for place, pixels in zip(places, channels_last(five_images[1]), strict=False):
        assert (panel(image, *place) == pixels).all()


def test_ratios_are_rows_of_each_mixture(five_images, tmp_path):
    options = ['--images', *five_images[0][:4], '--ratios', 0.25, 0.75]
    image = draw(write_files(tmp_path), tmp_path, 'reconstruct', *options)
    assert image.width == MARGIN + 6 * (128 + GAP) + GAP
    for row, lead in enumerate((0, 0, 2, 2)):
        originals = [panel(image, row, k, MARGIN) for k in range(2)]
        assert all((originals[k] == channels_last(five_images[1])[lead + k]).all() for k in range(2))
        shares = [(panel(image, row, 2, MARGIN) == original).all(-1).mean() for original in originals]
        assert np.allclose(shares, [0.75, 0.25] if row % 2 == 0 else [0.25, 0.75], atol=0.01)


@pytest.mark.parametrize(
    ('method', 'options', 'expected', 'said'),
    [
        (tiny_mixedae, ['--num-images', 2], 1 + 1 + 2, 'block 1 of 2 image(s)'),
        (tiny_mixedae, ['--block', 0, -1, '--query', '0.5,0.5'], 1 + 2, 'block 0, block 1 of 4 image(s)'),
        (tiny_mixedae, ['--mix', '--num-mixtures', 1], 2 + 1 + 2, 'block 1 of 1 mixture(s)'),
        (tiny_model, [], 1 + 4, 'stage 0 block 0, stage 1 block 0, stage 2 block 0, stage 3 block 0 of 4 image(s)'),
        (tiny_model, ['--mix', '--num-mixtures', 1, '--block', 3, '--query', '0.1,0.9'], 5, 'stage 3 block 0 of 1 mix'),
    ],
)
def test_attention(five_images, tmp_path, capsys, method, options, expected, said):
    image = draw(write_files(tmp_path, method), tmp_path, 'attention', *options)
    assert said in capsys.readouterr().out
    assert columns(image) == expected


@pytest.mark.parametrize('masked', [False, True])
def test_mixtures_are_encoded_as_in_pretraining(five_images, tmp_path, monkeypatch, masked):
    given, seen = [], draw_attention.attention_of

    def spy(encoder, images, blocks):
        given.append((images, seen(encoder, images, [3])))
        return given[-1][1]

    monkeypatch.setattr(draw_attention, 'attention_of', spy)
    files = write_files(tmp_path, lambda: tiny_model() | dict(masked_attention=masked))
    draw(files, tmp_path, 'attention', '--mix')
    ((images, found),) = given
    assert isinstance(images, torch.Tensor) != masked
    assert (found['stage 3 block 0'].weights == 0).any() == masked


@pytest.mark.parametrize(
    ('query', 'received', 'brightest', 'below', 'what'),
    [
        (None, False, (1, 1), '3.0 x', 'What CLS attends to, by the square root of weights: block 0. Black'),
        ((0.9, 0.1), False, (1, 0), '4.0 x', 'What the framed patch attends to, by the square root of weights: b'),
        (None, True, (1, 0), '4.0 x', 'What each patch receives from the patches of its window'),
    ],
)
def test_maps_are_bright_where_the_weight_is_and_say_how_much(query, received, brightest, below, what):
    """Two heads over a grid of 2 x 2: CLS attends to patch 3, all others to patch 2."""
    weights = torch.zeros(2, 1, 2, 5, 5)
    weights[:, :, :, 0, 4] = 0.75
    weights[:, :, :, 0, 1] = 0.25
    weights[:, :, :, 1:, 3] = 1
    attention = AttentionWeights(weights, torch.zeros(2, 1, 2, 5, 1), torch.tensor([[[-1, 0, 1, 2, 3]]] * 2), (2, 2), 1)
    panels = [[Panel(np.full((8, 8, 3), 50, np.uint8), 'image')]] * 2
    looking = draw_attention.Looking(panels, {'block 0': attention})
    row = draw_attention.row_of(looking, 1, query, received)
    assert [one.title for one in row] == ['image', 'mean of heads', 'head 0', 'head 1']
    for one in row[1:]:
        light = one.image[::4, ::4].sum(-1)
        assert divmod(int(light.argmax()), 2) == brightest
        assert one.below == f'up to {below}'
    assert [mark[:2] for mark in row[0].marks] == ([(0, 1)] if query else [])
    assert draw_attention.describe(looking, query, received).startswith(what)


@pytest.mark.parametrize(
    ('method', 'options'),
    [(tiny_model, ['--stage', 0]), (tiny_mixedae, ['--cfg-options', 'model.backbone.out_type=avg_featmap'])],
)
def test_pca(five_images, tmp_path, capsys, method, options):
    image = draw(write_files(tmp_path, method), tmp_path, 'pca', '--num-images', 3, '--image-size', 64, *options)
    shares = [float(share) for share in re.findall(r'([\d.]+)%', capsys.readouterr().out)]
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) <= 100.1
    assert columns(image) == 5


def test_an_image_with_itself_matches_patch_by_patch(five_images, tmp_path, capsys):
    options = ['--images', *[five_images[0][0]] * 2, '--points', '0.1,0.1', '0.6,0.9']
    draw(write_files(tmp_path, tiny_mixedae), tmp_path, 'similarity', *options)
    assert capsys.readouterr().out.splitlines()[-3:-1] == [
        'row, column (0, 0) of A, (0, 0) of B: 1.000, mutual',
        'row, column (3, 2) of A, (3, 2) of B: 1.000, mutual',
    ]


@pytest.fixture
def in_folders(five_images, tmp_path):
    """The five images' paths; the last two are in a folder of their own."""
    paths = list(five_images[0])
    (tmp_path / 'images/<b>$&').mkdir()
    for number in (3, 4):
        paths[number] = shutil.move(paths[number], tmp_path / f'images/<b>$&/{number}.png')
    return paths


def neighbors_by_loops(files, asked, among, moving):
    """Files among others from the most similar down, with cosines."""
    features = dict(zip(among, FeatureExtractor.from_config(*files)(list(among)), strict=True))
    less = np.mean(list(features.values()), 0) if moving else 0
    moved = {name: one - less for name, one in features.items()}
    if '--whiten' in moving:
        variances, turns = np.linalg.eigh(np.cov(np.array(list(moved.values()), dtype=np.float64).T, bias=True))
        first = np.argsort(-variances)[: moving[1]]
        moved = {name: one @ turns[:, first] / variances[first] ** 0.5 for name, one in moved.items()}
    cosines = {
        name: float(one @ moved[asked] / np.linalg.norm(one) / np.linalg.norm(moved[asked]))
        for name, one in moved.items()
        if name != asked
    }
    return sorted(cosines.items(), key=lambda pair: -pair[1])


@pytest.mark.parametrize('moving', [[], ['--center'], ['--whiten', 2]])
def test_neighbors_are_those_of_loops_also_by_saved_features(in_folders, tmp_path, capsys, moving):
    files, folder = write_files(tmp_path, tiny_mixedae), str(tmp_path / 'images')
    FeatureExtractor.from_config(*files).save(folder, tmp_path / 'features.npz')
    name, cosine = neighbors_by_loops(files, in_folders[1], in_folders, moving)[0]
    for where in (['--among', folder], ['--features', tmp_path / 'features.npz']):
        options = ['--of', in_folders[1], *where, '--k', 3, *moving]
        assert columns(draw(files, tmp_path, 'neighbors', *options)) == 4
        assert capsys.readouterr().out.splitlines()[-2] == f'{in_folders[1]}: {name} ({cosine:.3f})'


def test_a_link_to_an_image_is_that_image(five_images, tmp_path):
    paths = five_images[0]
    (tmp_path / 'link.png').symlink_to(paths[0])
    names, features = [str(tmp_path / 'link.png'), *paths[1:3]], np.eye(3) + 0.1
    (found,) = draw_neighbors.find([paths[0]], features[:1], names, features, 5)
    assert found.found == paths[1:3]
    assert found.cosines == pytest.approx([0.23 / 1.23] * 2)


def test_features_of_another_encoder_or_none_are_refused(five_images, tmp_path):
    files, paths = write_files(tmp_path, tiny_mixedae), five_images[0]
    names, features = FeatureExtractor.from_config(*files).with_names(paths)
    for arrays, said in (
        (dict(names=names, features=features[:, ::-1]), 'are not of this encoder'),
        (dict(names=['gone.png', *names[1:]], features=features), 'gone.png'),
        (dict(names=names[1:], features=features), r'has features \(5, 8\) of 4 images'),
        (dict(features=features), 'does not have "features" and "names"'),
    ):
        np.savez(tmp_path / 'features.npz', **arrays)
        with pytest.raises(SystemExit, match=said):
            draw(files, tmp_path, 'neighbors', '--of', paths[0], '--features', tmp_path / 'features.npz')
    with pytest.raises(SystemExit, match='is the only image among those given'):
        draw(files, tmp_path, 'neighbors', '--of', paths[0], '--among', paths[0])


@pytest.mark.parametrize(
    ('what', 'options', 'said'),
    [
        ('reconstruct', ['--cfg-options', 'train_dataloader.dataset.data_root='], 'has no .*data_root: add --images'),
        ('reconstruct', ['--cfg-options', 'model.neck.depth=2'], 'pth does not fit the model of .*config.py'),
        ('reconstruct', ['--mask-ratio', 1.5], 'masking ratio must be above 0 and below 1, got 1.5'),
        ('attention', ['--image-size', 20], 'images of 20 x 20 pixels: --image-size must be a multiple of 8'),
        ('attention', ['--mix', '--num-images', 2], '--num-images .* with --mix, give --num-mixtures'),
        ('attention', ['--num-mixtures', 2], '--num-mixtures needs --mix'),
        ('similarity', ['--images', 'a.png', 'missing.png', '--stage', 0], 'a.png'),
        ('pca', ['--stage', 2], 'out_indices'),
    ],
)
def test_refusals_come_before_anything_is_written(five_images, tmp_path, what, options, said):
    with pytest.raises(SystemExit, match=f'error: .*{said}'):
        draw(write_files(tmp_path, tiny_mixedae), tmp_path, what, *options)
    assert not (tmp_path / 'new').exists()


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (['--query', '0.5,1.5'], "invalid point value: '0.5,1.5'"),
        (['--query', '0.5,0.5', '--received'], 'not allowed with'),
        (['--num-images', '0'], '--num-images: 0'),
        (['--out', 'folder/maps.html'], 'maps.html: expected an extension of images'),
    ],
)
def test_wrong_options(capsys, options, said):
    with pytest.raises(SystemExit):
        tool.parse_args(['attention', 'config.py', 'checkpoint.pth', *options])
    assert said in capsys.readouterr().err


@pytest.fixture(params=[tiny_model, tiny_mixedae])
def of_five_channels(request, tmp_path):
    """Config and checkpoint of a run on images with five channels of 16 bits, and their folder."""
    write_five_channels(tmp_path / 'images')
    config, checkpoint = write_files(tmp_path, functools.partial(with_five_channels, request.param))
    settings = Config.fromfile(config)
    settings.train_dataloader.dataset.update(extensions=['.npy'], pipeline=[READING])
    settings.dump(config)
    return (config, checkpoint), tmp_path / 'images'


@pytest.mark.parametrize(
    ('what', 'options'),
    [
        ('reconstruct', ['--num-mixtures', 1]),
        ('attention', ['--num-images', 1]),
        ('attention', ['--num-mixtures', 1, '--mix']),
        ('pca', ['--num-images', 2, '--stage', 0]),
        ('similarity', ['--stage', 0, '--images', '{0}/0.npy', '{0}/1.npy']),
        ('neighbors', ['--of', '{0}', '--among', '{0}']),
    ],
)
def test_of_five_channels_the_first_three_are_drawn(of_five_channels, tmp_path, what, options):
    files, folder = of_five_channels
    image = draw(files, tmp_path, what, *(str(option).format(folder) for option in options))
    colors = np.asarray(image.convert('RGB')).astype(int)
    wanted = [color_of(file) for file in folder.iterdir()]
    assert min(np.abs(colors - one).max(-1).min() for one in wanted) <= 1


def test_errors_and_pixels_of_five_channels(of_five_channels):
    (config, checkpoint), folder = of_five_channels
    files = [str(folder / f'{number}.npy') for number in range(4)]
    result = ReconstructionInferencer(config, checkpoint, device='cpu')(files)
    assert result.sources.shape[-1] == result.reconstructed.shape[-1] == 5
    assert np.abs(result.sources[0, 1, 0, 0, :3] - color_of(files[1])).max() <= 1
    assert np.isfinite(result.errors).all()


@pytest.fixture
def masked(tmp_path):
    """Images whose left or right half is red and the rest blue, with masks of red; a strip has no label."""
    for number in range(6):
        image, mask = np.full((32, 32, 3), (20, 20, 220), np.uint8), np.zeros((32, 32), np.uint8)
        half = np.s_[:, :16] if number % 2 else np.s_[:, 16:]
        image[half], mask[half] = (220, 20, 20), 1
        mask[:2] = 255
        for folder, pixels in (('images', image), ('masks', mask)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / folder / f'{number}.png')
    return tmp_path


def test_segmentation_is_what_the_dense_probe_predicts_and_pixels_without_label_are_white(masked, tmp_path, capsys):
    config, checkpoint = files = write_files(tmp_path)
    folders = ['--train', masked / 'images', '--train-masks', masked / 'masks']
    folders += ['--images', masked / 'images', '--masks', masked / 'masks', '--stages', '0']
    draw(files, tmp_path, 'segmentation', *folders, '--num-images', '2', '--num-train', '4')
    assert '2 image(s), 2 classes' in capsys.readouterr().out
    args = tool.parse_args(['segmentation', config, checkpoint, *map(str, folders)])
    loaded = load_config(config)
    ask_for_maps(loaded, [0])
    extract = FeatureExtractor.from_config(loaded, checkpoint)
    pairs = evaluation.pair_masks(args.images, args.masks)
    _, labels, predicted = draw_segmentation.predict(extract, pairs, pairs, 2, args)
    assert (predicted == labels)[labels != 255].float().mean() == 1  # two colors, which any encoder tells apart
    painted = draw_segmentation.paint(labels[0], 2)
    assert (painted[:2] == 255).all()
    assert len(np.unique(painted[2:].reshape(-1, 3), axis=0)) == 2


def test_without_stages_the_last_of_a_config_s_maps_is_drawn_and_masks_have_a_suffix(masked, tmp_path, monkeypatch):
    config, checkpoint = files = write_files(tmp_path)
    folders = ['--train', masked / 'images', '--train-masks', masked / 'masks']
    folders += ['--images', masked / 'images', '--masks', masked / 'masks']
    extract = FeatureExtractor.from_config(load_config(config, {'model.backbone.out_indices': '(0,3)'}), checkpoint)
    assert len(extract.maps(torch.zeros(1, 3, 32, 32))) == 2
    args, counts = tool.parse_args(['segmentation', config, checkpoint, *map(str, folders)]), []
    pairs, each_image = evaluation.pair_masks(args.images, args.masks), draw_segmentation.each_image

    def spy(encode, batches):
        return each_image(lambda images: counts.append(len(maps := encode(images))) or maps, batches)

    monkeypatch.setattr(draw_segmentation, 'each_image', spy)
    draw_segmentation.predict(extract, pairs, pairs, 2, args)
    assert set(counts) == {1}
    with pytest.raises(SystemExit, match='6 of 6 images have no mask: .*_labels.png'):
        draw(files, tmp_path, 'segmentation', *folders, '--seg-map-suffix', '_labels.png')


def test_images_are_spread_over_a_list_that_is_sorted_by_class():
    pairs = {f'{i}.jpg': f'{i}.png' for i in range(10)}
    assert list(draw_segmentation.evenly_spaced(pairs, 4)) == ['0.jpg', '3.jpg', '6.jpg', '9.jpg']
    assert draw_segmentation.evenly_spaced(pairs, 99) == pairs
