"""Images that datasets leave out because of their extension are counted; nothing is said of other files."""

import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS

from mixmae_mm.engine.checks import check_config
from mixmae_mm.engine.checks.left_out import left_out_findings

FOLDER = dict(type='mmpretrain.CustomDataset', extensions=['.jpg', '.png'])
MASKS = dict(type='mmseg.BaseSegDataset', data_prefix=dict(img_path='images', seg_map_path='masks'))


def write(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def left_out(files, folder, first):
    """What the warning says of files."""
    return f'the extension leaves out {files} below {folder}, such as {first}'


def found(root, dataset, **settings):
    """What is wrong, and the advice."""
    dataset = DATASETS.build(dataset | dict(data_root=str(root), lazy_init=True) | settings)
    findings = list(left_out_findings(dataset))
    assert all(finding.severity == 'warning' for finding in findings)
    return [(finding.what, finding.advice.partition(',')[0]) for finding in findings]


def test_images_in_class_folders(tmp_path):
    pytest.importorskip('mmpretrain', reason='named in configs, not needed by the package')
    write(tmp_path, 'cat/a.jpg', 'cat/b.JPG', 'dog/a.png', 'dog/deep/c.png')
    assert found(tmp_path, FOLDER) == []
    write(tmp_path, 'cat/notes.txt', 'cat/.hidden.heic', '.hidden/d.heic', 'cat/all.json', 'cat/mask.npy', 'cat/a.webp')
    assert found(tmp_path, FOLDER) == []
    write(tmp_path, 'cat/c.heic', 'cat/d.heic', 'dog/deep/e.HEIC', 'dog/z.avif')
    what = left_out('4 files (2 .heic, 1 .HEIC, 1 .avif)', tmp_path, f'{tmp_path}/cat/c.heic')
    assert found(tmp_path, FOLDER) == [(what, 'convert or rename them')]
    assert found(tmp_path, FOLDER, ann_file='list.txt') == found(tmp_path / 'gone', FOLDER) == []
    remote = DATASETS.build(FOLDER | dict(data_root=str(tmp_path), lazy_init=True))
    remote.data_prefix['img_path'] = 's3://bucket'
    assert list(left_out_findings(remote)) == []


def test_they_are_a_warning_of_the_config(tmp_path):
    pytest.importorskip('mmpretrain', reason='named in configs, not needed by the package')
    write(tmp_path, 'cat/a.jpg', 'dog/a.heic')
    settings = dict(dataset=dict(FOLDER, data_root=str(tmp_path)))
    config = Config(dict(train_dataloader=settings, val_dataloader=settings))
    (warning,) = check_config(config, ('train', 'val')).refuse()
    what = left_out('1 file (1 .heic)', tmp_path, f'{tmp_path}/dog/a.heic')
    assert warning.startswith(f'train, val: {what}. What to do')


@pytest.mark.dense
def test_images_with_masks(tmp_path):
    pytest.importorskip('mmcv._ext', reason='needs mmcv with compiled ops')
    pytest.importorskip('mmseg', reason='the dense requirements are not installed')
    write(tmp_path, 'images/a.jpg', 'images/deep/b.jpg', 'masks/a.png', 'masks/deep/b.png', 'images/a.png')
    assert found(tmp_path, MASKS) == []
    write(tmp_path, 'images/c.JPG', 'images/deep/d.jpeg', 'images/e.heic', 'images/f.png', 'images/g.txt')
    what = left_out('4 files (1 .JPG, 1 .jpeg, 1 .heic, 1 .png)', tmp_path / 'images', f'{tmp_path}/images/')
    ((text, advice),) = found(tmp_path, MASKS)
    assert text in [f'{what}{name}' for name in ('c.JPG', 'deep/d.jpeg')]
    assert advice == 'convert or rename them'


@pytest.mark.dense
@pytest.mark.parametrize(
    ('masks', 'suffix', 'names'),
    [
        ('.', '_mask.png', ['a_mask.png', 'a_color.png']),
        ('masks', '.png', ['masks/a.png']),
        ('../masks', '.png', ['a_depth.jpg']),  # of the extension of images, but not their suffix
    ],
)
def test_masks_among_images(tmp_path, masks, suffix, names):
    pytest.importorskip('mmcv._ext', reason='needs mmcv with compiled ops')
    pytest.importorskip('mmseg', reason='the dense requirements are not installed')
    write(tmp_path, 'all/a_rgb.jpg', *(f'all/{name}' for name in names))
    prefix = dict(img_path='all', seg_map_path=f'all/{masks}'.removesuffix('/.'))
    settings = dict(data_prefix=prefix, img_suffix='_rgb.jpg', seg_map_suffix=suffix)
    assert found(tmp_path, MASKS, **settings) == []
    write(tmp_path, 'all/b.bmp')
    ((what, _),) = found(tmp_path, MASKS, **settings)
    assert what.startswith('the extension leaves out 1 file (1 .bmp) below ')
