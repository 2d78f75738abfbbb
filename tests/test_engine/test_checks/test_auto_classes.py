"""`num_classes='auto'`: the number of class folders, in all parts of a config."""

import pytest
from mmengine.config import Config
from shipped_configs import ROOT

from mixmae_mm.apis.model import build_classifier
from mixmae_mm.engine.checks import check_config, fill_num_classes

CUSTOM = sorted((ROOT / 'classification').glob('*_custom*.py'))
EACH = pytest.mark.parametrize('path', CUSTOM, ids=lambda path: path.stem)


def for_folder(path, root):
    """A config for a folder, as the command line has it."""
    config = Config.fromfile(path)
    config.merge_from_dict({f'{split}_dataloader.dataset.data_root': str(root) for split in ('train', 'val', 'test')})
    return config


def make(root, **splits):
    for split, names in splits.items():
        for name in names:
            (root / split / name).mkdir(parents=True)
            (root / split / name / '1.jpg').touch()


def test_there_is_one_for_each_family_and_size():
    names = {path.stem.partition('_')[0] for path in CUSTOM}
    assert names == {'mixmim-swin-base-w14', 'mixmim-swin-micro', 'swin-tiny-w7', 'vit-base-p16', 'vit-micro-p8'}


@EACH
def test_the_folders_decide_and_the_written_config_says_so(path, tmp_path):
    make(tmp_path, train=['cat', 'cow', 'dog', '.hidden'], val=['cat', 'cow', 'dog'])
    config = for_folder(path, tmp_path)
    assert config.model.head.num_classes == 'auto'
    fill_num_classes(config)
    assert config.model.head.num_classes == config.model.data_preprocessor.get('num_classes', 3) == 3
    assert ('num_classes' in config.model.data_preprocessor) == ('train_cfg' in config.model)  # Mixup needs it
    assert "'auto'" not in config.pretty_text
    assert check_config(config, ('train', 'val')).refuse() == []


@EACH
def test_folders_that_differ_are_refused(path, tmp_path):
    make(tmp_path, train=['cat', 'cow', 'dog'], val=['cat', 'dog', 'elk', 'yak'])
    config = for_folder(path, tmp_path)
    fill_num_classes(config)
    with pytest.raises(ValueError, match=r'cow \(only in train\), elk \(only in val\)'):
        check_config(config, ('train', 'val')).refuse()


@pytest.mark.parametrize(('names', 'found'), [([], 'none'), (['cat'], r'1 \(cat\)')])
def test_classes_that_are_not_there(tmp_path, names, found):
    make(tmp_path, train=names)
    text = rf"num_classes='auto' .*, but there is {found} in {tmp_path}/train.* --cfg-options \{{train,val,test\}}_data"
    with pytest.raises(ValueError, match=text):
        fill_num_classes(for_folder(CUSTOM[0], tmp_path))


def test_classes_whose_names_are_numbers(tmp_path):
    make(tmp_path, train=['01', '02'])
    config = for_folder(CUSTOM[0], tmp_path)
    for split in ('train', 'val', 'test'):
        config[f'{split}_dataloader'].dataset.metainfo = dict(classes=[1])
    fill_num_classes(config)  # by the folders
    assert config.model.head.num_classes == 2
    with pytest.raises(ValueError, match=r'train: class names that are not strings: 1 \(1\)\. What to do: write them'):
        check_config(config, ('train', 'val')).refuse()
    config = for_folder(CUSTOM[0], tmp_path / 'none')
    config.train_dataloader.dataset.metainfo = dict(classes=[1, 2])
    with pytest.raises(ValueError, match=r'train: class names that are not strings: 2 \(1, 2\)'):
        fill_num_classes(config)


def test_tools_that_read_no_folders_need_the_written_config():
    with pytest.raises(ValueError, match=r"custom\.py .*num_classes='auto': use the config"):
        build_classifier(Config.fromfile(CUSTOM[0]), 'none.pth')


def test_a_test_set_alone_will_do(tmp_path):
    make(tmp_path, val=['cat', 'cow'])
    config = for_folder(CUSTOM[0], tmp_path)
    fill_num_classes(config)
    assert config.model.head.num_classes == 2


def test_other_numbers_and_metrics(tmp_path):
    """A number that is set stays, and is compared with the folders; metrics and lists of heads are filled."""
    make(tmp_path, train=['cat', 'cow', 'dog'], val=['cat', 'cow', 'dog'])
    config = for_folder(CUSTOM[0], tmp_path)
    config.val_evaluator = [dict(type='mmpretrain.SingleLabelMetric', num_classes='auto')]
    config.model.data_preprocessor.num_classes = 4
    fill_num_classes(config)
    assert (config.val_evaluator[0].num_classes, config.model.data_preprocessor.num_classes) == (3, 4)
    with pytest.raises(ValueError, match='different numbers of classes: .*=4, .*=3'):
        check_config(config, ('train', 'val')).refuse()
    before = config.to_dict()
    fill_num_classes(config)
    assert config.to_dict() == before
