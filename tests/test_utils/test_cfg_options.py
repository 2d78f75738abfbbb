"""Values of `--cfg-options`: text as typed where text or a path is meant, mmengine's reading elsewhere."""

import pytest

from mixmae_mm.utils.cfg_options import read_value
from mixmae_mm.utils.launching import argument_parser, load_config, read_config

ODD = ('/x/a b,c (copy)', '[old]', '(copy)', '007', '1e5', 'a=b', '{x}', '"quoted"', "it's", 'True', ' x', '/x/größe')
CONFIG = """
experiment_name = 'first'
load_from = None
train_cfg = dict(max_epochs=3, by_epoch=True)
train_dataloader = dict(batch_size=2, num_workers=1, dataset=dict(data_root='here', data_prefix=dict(img='train/')))
val_evaluator = dict(metric='bbox', classes=['cat', 'dog'])
optim_wrapper = dict(
    type='AmpOptimWrapper', loss_scale='dynamic', optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999)))
param_scheduler = [dict(type='MultiStepLR', milestones=[8, 11])]
"""


@pytest.fixture
def load(tmp_path):
    path = tmp_path / 'my configs (1)' / 'of, mine.py'
    path.parent.mkdir()
    path.write_text(CONFIG)

    def loaded(*options):
        args = argument_parser('').parse_args([str(path), '--cfg-options', *options])
        return load_config(args.config, args.cfg_options)

    return loaded


@pytest.mark.parametrize('typed', ODD)
@pytest.mark.parametrize(
    'key',
    [
        *('train_dataloader.dataset.data_root', 'train_dataloader.dataset.data_prefix.img', 'load_from', 'work_dir'),
        *('train_dataloader.dataset.ann_file', 'model.backbone.init_cfg.checkpoint'),
    ],
)
def test_a_path_or_text_reaches_the_config_as_typed(load, key, typed):
    value = load(f'{key}={typed}')
    for part in key.split('.'):
        value = value[part]
    assert value == typed
    assert isinstance(value, str)


def test_the_home_folder_is_expanded(load, monkeypatch):
    monkeypatch.setenv('HOME', '/home/somebody')
    config = load('train_dataloader.dataset.data_root=~/images', 'load_from=~old')
    assert (config.train_dataloader.dataset.data_root, config.load_from) == ('/home/somebody/images', '~old')
    args = argument_parser('').parse_args(['~/a.py', '--work-dir=~/b c'])
    assert (args.config, args.work_dir) == ('/home/somebody/a.py', '/home/somebody/b c')


@pytest.mark.parametrize(
    ('key', 'text', 'old', 'expected'),
    [
        ('betas', '(0.9,0.95)', (0.9, 0.999), (0.9, 0.95)),
        ('betas', '0.9,0.95', (0.9, 0.999), (0.9, 0.95)),
        ('milestones', '[1,2]', [8, 11], [1, 2]),
        ('milestones', '8,', [8, 11], [8]),
        ('milestones', '[]', [8, 11], []),
        ('classes', '[traffic light, 2024]', ['cat'], ['traffic light', '2024']),
        ('metric', '[bbox,segm]', 'bbox', ['bbox', 'segm']),
        ('classes', '01,02', ['cat'], ['01', '02']),
        ('metainfo.classes', '01,1e3', None, ['01', '1e3']),
        ('metainfo.classes', "('a b','02')", None, ('a b', '02')),
        ('metainfo.classes', 'cat,', ('dog',), ('cat',)),
        ('metainfo.classes', '[]', ('dog',), []),
        ('metric', "{'a': 1, 'b': 2}", ['bbox'], {'a': 1, 'b': 2}),
        ('metainfo.classes', 'classes.txt', None, 'classes.txt'),
        ('num_classes', '3,4', None, [3, 4]),
        ('scales', '[(1,2),[a,b],d]', None, [(1, 2), ['a', 'b'], 'd']),
        ('names', 'a,b c', None, ['a', 'b c']),
        ('names', 'x/a,b', None, 'x/a,b'),
        ('loss_scale', '512.', 'dynamic', 512.0),
        ('lr', '1e-4', 1, 1e-4),
        ('with_cp', 'true', False, True),
        ('arch', 'tiny', dict(depths=(1,)), 'tiny'),
        ('arch', "{'depths': [1, 2]}", 'tiny', "{'depths': [1, 2]}"),
        ('arch', "{'depths': [1, 2]}", dict(depths=(1,)), {'depths': [1, 2]}),
        ('init_cfg', 'None', dict(type='Pretrained'), None),
        ('data_root', 'None', 'here', None),
        ('seed', '5', None, 5),
        ('experiment_name', '007', 'first', '007'),
        ('experiment_name', 'a,b', 'first', 'a,b'),
    ],
)
def test_other_values_are_read_by_what_they_replace(key, text, old, expected):
    value = read_value(key, text, old)
    assert value == expected
    assert type(value) is type(expected)


def test_options_given_twice_add_up(tmp_path):
    given = ['x.py', '--cfg-options', 'a=1', 'b=x=y', '--cfg-options', 'a=2']
    assert argument_parser('').parse_args(given).cfg_options == {'a': '2', 'b': 'x=y'}


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('train_cfg.max_epochs=ten', "train_cfg.max_epochs is 3 .*of type int, got 'ten'"),
        ('train_cfg.by_epoch=no', "of type bool, got 'no'"),
        ('param_scheduler.7.gamma=1', 'param_scheduler has 1 entries'),
        ('param_scheduler.gamma=1', 'param_scheduler has 1 entries'),
        ('train_cfg.max_epochs.end=1', 'train_cfg.max_epochs is 3'),
        ('load_from.checkpoint=x', 'load_from is None'),
        ('optim_wrapper.optimizer.lr=1,5', "lr is 0.001 in the config and takes a value of type float, got '1,5'"),
        ('train_dataloader.dataset.indices=range(0,9)', r'indices=range\(0,9\) is no number, list'),
    ],
)
def test_a_word_for_a_number_and_a_setting_that_leads_nowhere_are_refused(load, option, message):
    with pytest.raises(ValueError, match=message):
        load(option)


def test_what_is_replaced_whole_keeps_what_is_given_beside(load):
    options = ('param_scheduler.0.gamma=0.5', 'train_cfg.max_iters=5', 'train_cfg.by_epoch=False')
    config = load(*options, 'train_cfg._delete_=True', 'param_scheduler.0.milestones=4,5')
    assert config.train_cfg == dict(by_epoch=False, max_iters=5)
    assert (config.param_scheduler[0].gamma, config.param_scheduler[0].milestones) == (0.5, [4, 5])


@pytest.mark.parametrize('place', ['taken', 'taken/below'])
def test_a_config_that_is_not_python_and_a_work_dir_that_is_a_file_are_refused(tmp_path, place):
    (tmp_path / 'taken').touch()
    (tmp_path / 'torn.py').write_text('model = dict(')
    with pytest.raises(ValueError, match=r'torn\.py, .*is not valid Python'):
        load_config(tmp_path / 'torn.py')
    (tmp_path / 'config.py').write_text(CONFIG)
    arguments = [str(tmp_path / 'config.py'), '--work-dir', str(tmp_path / place)]
    with pytest.raises(ValueError, match=f'{tmp_path / "taken"} is a file'):
        read_config(argument_parser('').parse_args(arguments))
