"""Files to give away: the weights to the bit, the name by their hash, and nothing of the machine they are from."""

import hashlib
import re
import subprocess
import sys
from argparse import Namespace

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from tool_loading import load_tool

from mixmae_mm.version import __version__

tool = load_tool('model_converters/publish_model.py')
WEIGHTS = {
    'backbone.weight': torch.arange(6.0).view(2, 3),
    'backbone.half': torch.tensor([float('nan'), 1.0], dtype=torch.bfloat16),
    'bn.num_batches_tracked': torch.tensor(3),
}
CFG = """data_root = '/data/private/imagenet/'
load_from = None
model = dict(
    backbone=dict(init_cfg=dict(checkpoint='/home/me/runs/my run/epoch_3.pth', type='Pretrained')),
    names=['C:\\\\Users\\\\me\\\\set', '~/images', 'file:///mnt/x/y.json', 'a/b', '0/1 loss', '\\\\d+'],
    hint='python /opt/tool/run.py --out=/opt/out/z work_dirs/r1/x',
    url='https://example.org/a/b.pth')
work_dir = '/home/me/work_dirs/run'
"""
CLEAN = """data_root = 'imagenet'
load_from = None
model = dict(
    backbone=dict(init_cfg=dict(checkpoint='epoch_3.pth', type='Pretrained')),
    names=['set', 'images', 'y.json', 'a/b', '0/1 loss', '\\\\d+'],
    hint='python run.py --out=z work_dirs/r1/x',
    url='https://example.org/a/b.pth')
"""


def trained():
    """A checkpoint as mmengine writes it."""
    meta = dict(
        epoch=np.int64(3),
        iter=30,
        cfg=CFG,
        seed=5,
        experiment_name='run_of_me',
        time='20261121',
        mmengine_version='0.10',
        dataset_meta=dict(
            classes=('a', 'b'), palette=np.ones((1, 3)), odd=Namespace(x=1), sets=['/home/me/ann file.json']
        ),
    )
    buffer = HistoryBuffer([1.0], [1])
    return dict(
        meta=meta,
        state_dict=dict(WEIGHTS),
        message_hub=dict(log_scalars={'train/loss': buffer}),
        optimizer=dict(state={0: torch.zeros(100_000)}),
        param_schedulers=[dict(last_step=3)],
    )


def published(tmp_path, content, *options, out='out/name.pth'):
    torch.save(content, tmp_path / 'in.pth')
    tool.main([str(tmp_path / 'in.pth'), str(tmp_path / out), *options])
    (path,) = (tmp_path / out).parent.glob('name-*')
    return path


def same(weights):
    pairs = [(x, WEIGHTS[name]) for name, x in weights.items()]
    return weights.keys() == WEIGHTS.keys() and all(torch.equal(x.nan_to_num(7), y.nan_to_num(7)) for x, y in pairs)


def test_the_name_has_the_hash_and_what_was_taken_away_is_printed(tmp_path, capsys):
    path = published(tmp_path, trained())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.name == f'name-{digest[:8]}.pth'
    assert torch.hub.HASH_REGEX.search(path.name)[1] == digest[:8]
    printed = capsys.readouterr().out
    assert printed.startswith('left out: message_hub, optimizer, param_schedulers, meta.seed, meta.experiment_name, ')
    assert 'shortened in cfg: /data/private/imagenet/ -> imagenet' in printed
    assert printed.endswith(f'sha256: {digest}\n{path}: 3 tensors\n')


def test_weights_and_harmless_meta_are_kept_and_nothing_of_the_machine(tmp_path):
    path = published(tmp_path, trained())
    content = torch.load(path, weights_only=True)
    assert list(content) == ['state_dict', 'meta']
    assert same(content['state_dict'])
    assert content['meta'] == dict(
        epoch=3,
        iter=30,
        cfg=CLEAN,
        mmengine_version='0.10',
        dataset_meta=dict(classes=('a', 'b'), palette=[[1.0, 1.0, 1.0]], odd=None, sets=['ann file.json']),
        mixmae_mm_version=__version__,
    )
    assert path.stat().st_size < 10_000
    found = re.search(rb'/home|/mnt|/data/private|/opt|Users|run_of_me|work_dirs/run', path.read_bytes())
    assert not found
    assert str(tmp_path).encode() not in path.read_bytes()


def test_it_reads_where_only_torch_is(tmp_path):
    """numpy's numbers, mmengine's log and parsed arguments would need to be allowed first."""
    official = dict(model=WEIGHTS, epoch=599, args=Namespace(output_dir='/home/me'), optimizer={})
    files = [published(tmp_path, trained(), out='a/name.pth'), published(tmp_path, official, out='b/name.pth')]
    program = 'import sys, torch; print([sorted(torch.load(path, weights_only=True)) for path in sys.argv[1:]])'
    done = subprocess.run([sys.executable, '-c', program, *files], capture_output=True, text=True, check=True)
    assert done.stdout == "[['meta', 'state_dict'], ['meta', 'model']]\n"
    content = torch.load(files[1], weights_only=True)  # in the official container
    assert same(content['model'])
    assert content['meta'] == dict(epoch=599, mixmae_mm_version=__version__)


def test_equal_weights_have_equal_names(tmp_path):
    first = published(tmp_path, WEIGHTS)
    again = published(tmp_path, WEIGHTS, out='other/name-b.pth')
    assert first.read_bytes() == again.read_bytes()
    assert again.name == first.name.replace('name', 'name-b')
    other = published(tmp_path, WEIGHTS | {'bn.num_batches_tracked': torch.tensor(4)}, out='third/name.pth')
    assert other.name != first.name


def test_nothing_is_overwritten_unasked(tmp_path):
    path = published(tmp_path, WEIGHTS)
    path.write_text('mine')
    with pytest.raises(SystemExit, match=f'{path.name} already exists: .*--force'):
        published(tmp_path, WEIGHTS)
    assert [(file.name, file.read_text()) for file in path.parent.iterdir()] == [(path.name, 'mine')]
    assert same(torch.load(published(tmp_path, WEIGHTS, '--force'), weights_only=True)['state_dict'])


def test_wrong_names_and_files_are_refused(tmp_path):
    with pytest.raises(SystemExit):
        published(tmp_path, WEIGHTS, out='out/name.safetensors')
    with pytest.raises(SystemExit, match=r"in\.pth holds no weights, only .'epoch'"):
        published(tmp_path, dict(epoch=3))
    assert [path.name for path in tmp_path.iterdir()] == ['in.pth']
