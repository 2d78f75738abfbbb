import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.path import Path as Polygon
from PIL import Image
from shapes.labels import outline_polygons
from tool_loading import load_tool

make_shapes = load_tool('dataset_tools/make_shapes.py')
CLASSES, Settings = make_shapes.CLASSES, make_shapes.Settings
SMALL = Settings(train=30, val=10, size=64, seed=3)


@pytest.fixture(scope='module')
def shapes(tmp_path_factory):
    out = tmp_path_factory.mktemp('sets') / 'shapes'
    assert make_shapes.make_shapes(out, SMALL, workers=2)
    return out


def digest(out):
    files = sorted(path for path in out.rglob('*') if path.is_file())
    return hashlib.sha256(b''.join(str(f.relative_to(out)).encode() + f.read_bytes() for f in files)).hexdigest()


def scenes(count, size=64, split=0):
    return [make_shapes.draw_scene(0, split, index, size) for index in range(count)]


def rasterise(polygons, size, fine=4):
    """Return by even-odd which points of a finer grid lie in a polygon; a pixel is in where half of its points are."""
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
    """Their means, and the sums of the masks, as first drawn; other machines may round otherwise."""
    drawn = [make_shapes.draw_scene(3, 0, index, 64) for index in range(10)]
    means = [80.57, 96.85, 89.03, 173.37, 96.93, 113.49, 134.83, 133.83, 124.8, 62.06]
    assert [scene.image.mean() for scene in drawn] == pytest.approx(means, abs=0.05)
    assert [int(scene.mask.sum()) for scene in drawn] == pytest.approx(
        [524, 4608, 3481, 3212, 3395, 6152, 8459, 8852, 9113, 10270], abs=10
    )


@pytest.mark.parametrize('size', [64, 160])
def test_polygons_agree_with_the_index_masks(size):
    for scene in scenes(15 if size < 100 else 4, size):
        for category in np.unique(scene.mask)[1:]:
            own = [one['segmentation'] for one in scene.objects if one['category_id'] == category]
            drawn, masked = rasterise(sum(own, []), size), scene.mask == category
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
        assert sum(one['area'] for one in scene.objects) == pytest.approx((scene.mask > 0).sum(), rel=0.05)


# -- the set on disk


def test_same_seed_gives_the_same_bytes_whatever_the_number_of_workers(shapes, tmp_path):
    for workers in (1, 3):
        make_shapes.make_shapes(tmp_path / str(workers), SMALL, workers)
    assert digest(tmp_path / '1') == digest(tmp_path / '3') == digest(shapes)


def test_complete_set_is_left_alone(shapes, capsys):
    before = {path: path.stat().st_mtime_ns for path in shapes.rglob('*')}
    make_shapes.main([str(shapes), '--train', '30', '--val', '10', '--seed', '3'])
    assert 'already there' in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in shapes.rglob('*')}


def test_interrupted_set_is_made_anew(shapes, tmp_path, monkeypatch):
    out = tmp_path / 'shapes'
    with monkeypatch.context() as patch:
        patch.setattr(make_shapes, '_coco', lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            make_shapes.make_shapes(out, SMALL, workers=2)
    assert not out.exists()
    assert make_shapes.make_shapes(out, SMALL, workers=1)
    assert digest(out) == digest(shapes)
    assert [path.name for path in tmp_path.iterdir()] == ['shapes']


@pytest.mark.parametrize('numbers', [{'train': -1}, {'val': 9}, {'size': -64}, {'seed': -1}])
def test_impossible_numbers_are_refused(numbers):
    ((name, value),) = numbers.items()
    with pytest.raises(ValueError, match=f'{name} {value}.* at least 10 images in each split, a size of 32 to 1024'):
        Settings(**numbers)


def test_a_folder_of_other_things_is_refused_and_kept(shapes, tmp_path):
    (tmp_path / 'thesis.txt').write_text('mine')
    for out, settings in ((tmp_path, SMALL), (tmp_path / 'thesis.txt', SMALL), (shapes, Settings(train=10, val=10))):
        before = sorted(out.rglob('*'))
        with pytest.raises(ValueError, match='holds other things.*: a new or empty folder is needed'):
            make_shapes.make_shapes(out, settings)
        assert sorted(out.rglob('*')) == before
    with pytest.raises(SystemExit, match='make_shapes: .*thesis.txt'):
        make_shapes.main([str(tmp_path / 'thesis.txt/below'), '--train', '10', '--val', '10'])
    assert (tmp_path / 'thesis.txt').read_text() == 'mine'


# -- the libraries' own datasets


def test_mmpretrain_reads_the_class_folders(shapes):
    custom = pytest.importorskip('mmpretrain.datasets').CustomDataset(data_root=str(shapes / 'train'), with_label=True)
    assert tuple(custom.CLASSES) == CLASSES
    assert list(custom.get_gt_labels()) == [label for label in range(10) for _ in range(3)]


@pytest.mark.dense
def test_mmdet_reads_the_instances_and_masks_agree(shapes):
    datasets = pytest.importorskip('mmdet.datasets', reason='mmdet comes with requirements/dense.txt')
    coco = datasets.CocoDataset(
        data_root=str(shapes),
        ann_file='annotations/instances_val.json',
        data_prefix={'img': 'val/'},
        metainfo={'classes': CLASSES},
        pipeline=[{'type': 'mmdet.LoadImageFromFile'}, {'type': 'mmdet.LoadAnnotations', 'with_mask': True}],
    )
    assert len(coco) == 10
    for sample in coco:
        path = Path(sample['img_path'])
        masks, labels = sample['gt_masks'].to_ndarray().astype(bool), sample['gt_bboxes_labels']
        with Image.open(shapes / 'masks/val' / path.parent.name / f'{path.stem}.png') as image:
            index_mask = np.asarray(image)
        assert index_mask.max() <= 10
        assert CLASSES[labels[masks.sum((1, 2)).argmax()]] == path.parent.name
        assert all((index_mask[mask] == label + 1).mean() > 0.85 for mask, label in zip(masks, labels, strict=True))
