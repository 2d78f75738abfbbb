import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from materials.labels import outline_polygons
from materials.noise import Noise
from materials.surfaces import SURFACES
from matplotlib.path import Path as Polygon
from PIL import Image
from tool_loading import load_tool

make_materials = load_tool('dataset_tools/make_materials.py')
CLASSES, Settings = make_materials.CLASSES, make_materials.Settings
SMALL = Settings(train=28, val=14, size=64, seed=3)


@pytest.fixture(scope='module')
def materials(tmp_path_factory):
    out = tmp_path_factory.mktemp('sets') / 'materials'
    assert make_materials.make_materials(out, SMALL, workers=2)
    return out


def digest(out):
    files = sorted(path for path in out.rglob('*') if path.is_file())
    return hashlib.sha256(b''.join(str(f.relative_to(out)).encode() + f.read_bytes() for f in files)).hexdigest()


def scenes(count, size=64, split=0):
    return [make_materials.draw_scene(0, split, index, size) for index in range(count)]


def rasterise(polygons, size, fine=4):
    """Rasterize polygons by the even-odd rule on a finer grid; a pixel is inside if at least half of its points are."""
    line = (np.arange(size * fine) + 0.5) / fine
    points = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    inside = np.any([Polygon(np.reshape(one, (-1, 2)), closed=False).contains_points(points) for one in polygons], 0)
    return inside.reshape(size, fine, size, fine).mean((1, 3)) >= 0.5


# -- outlines and polygons


@pytest.mark.parametrize('seed', range(5))
def test_polygons_of_any_region_hold_exactly_its_pixels(seed):
    noise = np.random.default_rng(seed).random((24, 24)).astype(np.float32)
    region = cv2.GaussianBlur(noise, (0, 0), 1.0) > 0.48
    pieces = outline_polygons(region)
    centers = [(x + 0.5, y + 0.5) for y in range(24) for x in range(24)]
    inside = [sum(cv2.pointPolygonTest(piece, center, False) > 0 for piece in pieces) for center in centers]
    assert np.array_equal(np.reshape(inside, (24, 24)), region)


# -- scenes


def test_images_of_a_seed_stay_as_they_are():
    """Image means and mask sums are those of the first version, up to rounding on other machines."""
    drawn = [make_materials.draw_scene(3, 0, index, 64) for index in range(10)]
    means = [155.12, 97.03, 116.91, 144.68, 148.38, 158.36, 115.95, 152.9, 133.73, 128.7]
    assert [scene.image.mean() for scene in drawn] == pytest.approx(means, abs=0.05)
    assert [int(scene.mask.sum()) for scene in drawn] == pytest.approx(
        [2057, 8200, 8908, 12288, 16384, 20480, 24576, 28672, 31676, 34330], abs=10
    )


def test_the_main_material_fills_most_of_every_scene_and_no_patch_is_of_it():
    for index, scene in enumerate(scenes(42)):
        label = index % 14
        assert scene.main == CLASSES[label]
        assert (scene.mask == label).mean() >= 0.6
        others = {one['category_id'] - 1 for one in scene.objects}
        assert label not in others
        assert set(np.unique(scene.mask)) == {label, *others}


def test_surfaces_are_tones_that_do_not_depend_on_which_pixels_are_asked_for():
    """Noise is a function of position alone, so a patch can be drawn within its box."""
    rows, columns = np.mgrid[:40, :40].astype(np.float32) / 7 + 20
    for name, surface in SURFACES.items():
        whole, part = (
            surface(Noise(np.random.default_rng(0)), columns[rows_], rows[rows_]) for rows_ in (np.s_[:], np.s_[11:29])
        )
        assert np.array_equal(whole[11:29], part), name
        assert whole.min() >= -0.01, name
        assert whole.max() <= 1.15, name
        assert whole.std() > 0.05, name


def test_nearest_points_are_those_of_a_search_over_all():
    noise, place = (
        Noise(np.random.default_rng(1)),
        np.random.default_rng(2).uniform(3, 9, (2, 1, 50)).astype(np.float32),
    )
    first, second, value = noise.cells(*place, regular=0.3)
    for i, (u, v) in enumerate(place[:, 0].T):
        found = []
        for row in range(14):
            for column in range(14):
                x, y = noise.points[:, row, column] * 0.7 + 0.15
                found.append((np.hypot(column + x - u, row + y - v), noise.values[row, column]))
        (nearest, its), (after, _) = sorted(found)[:2]
        assert [first[0, i], second[0, i], value[0, i]] == pytest.approx([nearest, after, its], abs=1e-5)


def test_colors_do_not_tell_the_materials_apart():
    """Nearest neighbors by color histogram are close to chance (7 %); without color leveling, they are far above."""
    images = [scene.image for scene in scenes(644, size=32)]
    counts = np.stack([cv2.calcHist([image], [0, 1, 2], None, [6] * 3, [0, 256] * 3).ravel() for image in images])
    roots = np.sqrt(counts / counts.sum(1, keepdims=True))
    labels = np.arange(644) % 14
    nearest = (roots[448:] @ roots[:448].T).argmax(1)
    assert (labels[:448][nearest] == labels[448:]).mean() < 0.15


@pytest.mark.parametrize('size', [64, 160])
def test_polygons_agree_with_the_index_masks(size):
    for scene in scenes(15 if size < 100 else 4, size):
        for category in np.unique([one['category_id'] for one in scene.objects]):
            own = [one['segmentation'] for one in scene.objects if one['category_id'] == category]
            drawn, masked = rasterise(sum(own, []), size), scene.mask == category - 1
            if masked.sum() >= 40:
                assert (drawn & masked).sum() / (drawn | masked).sum() > 0.9


def test_areas_and_boxes_agree_with_the_polygons_and_objects_do_not_overlap():
    for scene in scenes(30):
        for one in scene.objects:
            points = [np.reshape(polygon, (-1, 2)) for polygon in one['segmentation']]
            corners, (x, y, width, height) = np.concatenate(points), one['bbox']
            assert np.allclose([x, y, x + width, y + height], [*corners.min(0), *corners.max(0)], atol=0.011)
            assert corners.min() >= 0
            assert corners.max() <= 64
            assert one['area'] == pytest.approx(sum(cv2.contourArea(p.astype(np.float32)) for p in points), abs=0.02)
            assert one['area'] > 0.005 * 64**2
        assert sum(one['area'] for one in scene.objects) == pytest.approx(
            (scene.mask != CLASSES.index(scene.main)).sum(), rel=0.05, abs=5
        )


# -- the set on disk


def test_same_seed_gives_the_same_bytes_whatever_the_number_of_workers(materials, tmp_path):
    for workers in (1, 3):
        make_materials.make_materials(tmp_path / str(workers), SMALL, workers)
    assert digest(tmp_path / '1') == digest(tmp_path / '3') == digest(materials)


def test_complete_set_is_left_alone(materials, capsys):
    before = {path: path.stat().st_mtime_ns for path in materials.rglob('*')}
    make_materials.main([str(materials), '--train', '28', '--val', '14', '--seed', '3'])
    assert 'already there' in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in materials.rglob('*')}


def test_interrupted_set_is_made_anew(materials, tmp_path, monkeypatch):
    out = tmp_path / 'materials'
    with monkeypatch.context() as patch:
        patch.setattr(make_materials, '_coco', lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            make_materials.make_materials(out, SMALL, workers=2)
    assert not out.exists()
    assert make_materials.make_materials(out, SMALL, workers=1)
    assert digest(out) == digest(materials)
    assert [path.name for path in tmp_path.iterdir()] == ['materials']


@pytest.mark.parametrize('numbers', [{'train': -1}, {'val': 13}, {'size': -64}, {'seed': -1}])
def test_impossible_numbers_are_refused(numbers):
    ((name, value),) = numbers.items()
    with pytest.raises(ValueError, match=f'{name} {value}.* at least 14 images .*32 to 1024'):
        Settings(**numbers)


def test_a_folder_of_other_things_is_refused_and_kept(materials, tmp_path):
    (tmp_path / 'thesis.txt').write_text('mine')
    for out, settings in ((tmp_path, SMALL), (tmp_path / 'thesis.txt', SMALL), (materials, Settings(train=14, val=14))):
        before = sorted(out.rglob('*'))
        with pytest.raises(ValueError, match='is not empty.*: use a new or empty folder'):
            make_materials.make_materials(out, settings)
        assert sorted(out.rglob('*')) == before
    with pytest.raises(SystemExit, match='make_materials: .*thesis.txt'):
        make_materials.main([str(tmp_path / 'thesis.txt/below'), '--train', '14', '--val', '14'])
    assert (tmp_path / 'thesis.txt').read_text() == 'mine'


# -- the libraries' own datasets


def test_mmpretrain_reads_the_class_folders(materials):
    custom = pytest.importorskip('mmpretrain.datasets').CustomDataset(
        data_root=str(materials / 'train'), with_label=True
    )
    assert tuple(custom.CLASSES) == CLASSES
    assert list(custom.get_gt_labels()) == [label for label in range(14) for _ in range(2)]


@pytest.mark.parametrize('split', ['train', 'val'])
def test_patches_are_the_instances_without_their_names(materials, split):
    kinds = ('instances', 'patches')
    instances, patches = (json.loads((materials / f'annotations/{kind}_{split}.json').read_text()) for kind in kinds)
    assert patches['images'] == instances['images']
    assert patches['categories'] == [dict(id=1, name='patch', supercategory='material')]
    assert [one | dict(category_id=1) for one in instances['annotations']] == patches['annotations']
    assert len({one['category_id'] for one in instances['annotations']}) > 1


@pytest.mark.dense
def test_mmdet_reads_the_instances_and_masks_agree(materials):
    datasets = pytest.importorskip('mmdet.datasets', reason='mmdet comes with requirements/dense.txt')
    coco = datasets.CocoDataset(
        data_root=str(materials),
        ann_file='annotations/instances_val.json',
        data_prefix={'img': 'val/'},
        metainfo={'classes': CLASSES},
        pipeline=[{'type': 'mmdet.LoadImageFromFile'}, {'type': 'mmdet.LoadAnnotations', 'with_mask': True}],
    )
    assert len(coco) == 14
    for sample in coco:
        path = Path(sample['img_path'])
        masks, labels = sample['gt_masks'].to_ndarray().astype(bool), sample['gt_bboxes_labels']
        with Image.open(materials / 'masks/val' / path.parent.name / f'{path.stem}.png') as image:
            index_mask = np.asarray(image)
        assert index_mask.max() < 14
        assert all((index_mask[mask] == label).mean() > 0.85 for mask, label in zip(masks, labels, strict=True))
