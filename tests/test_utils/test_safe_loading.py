"""Loading never runs code from a file: all entry points x kinds of files whose payload would write a marker."""

import functools
import io
import pickle
import runpy
import sys
import tarfile
import zipfile
from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory

import mmengine
import numpy as np
import pytest
import torch
from micro_training import ROOT, make_config
from mmengine._strategy import DeepSpeedStrategy, SingleDeviceStrategy
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.infer import BaseInferencer
from mmengine.logging import HistoryBuffer
from mmengine.model import initialize
from mmengine.runner import Runner, checkpoint, load_checkpoint
from payloads import served, touching
from torch import nn
from training_toys import run_until, same, toy_config

from mixmae_mm.apis import from_hub, get_model
from mixmae_mm.apis import model as models
from mixmae_mm.apis.model import build_classifier, build_encoder, build_pretrainer
from mixmae_mm.datasets import LoadMultispectral
from mixmae_mm.utils.errors import check_checkpoint
from mixmae_mm.utils.safe_io.weights_file import read_file, read_weights

CLASSIFIER = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(type='mixmae_mm.MixMIMSwin', arch=dict(embed_dims=8, depths=(1,), num_heads=(1,)), img_size=32,
                  window_sizes=(4,), out_indices=(0,)),
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(type='mmpretrain.LinearClsHead', num_classes=2, in_channels=8),
)  # fmt: skip


@pytest.fixture
def marker(tmp_path):
    return tmp_path / 'marker'


# the files


def content(payload, part, *names):
    """Return the content of an mmengine checkpoint with a payload in one place."""
    whole = dict(
        meta=dict(epoch=1, iter=1, seed=0),
        state_dict={'layers.0.weight': torch.ones(16, 8)},
        optimizer=dict(state={}, param_groups=[]),
        message_hub=dict(log_scalars=dict(loss=HistoryBuffer([1.0], [1])), runtime_info=dict(epoch=np.int64(1))),
    )
    place = functools.reduce(lambda nest, name: nest[name], names, whole[part])
    place.append(payload) if isinstance(place, list) else place.update(extra=payload)
    return whole


def in_part(*names):
    return lambda payload, file: torch.save(content(payload, *names), file)


def of_protocol(number, zipped=True):
    def write(payload, file):
        whole = content(payload, 'state_dict')
        torch.save(whole, file, pickle_protocol=number, _use_new_zipfile_serialization=zipped)

    return write


def in_tar(payload, file):
    """Write the format of PyTorch before 0.1.10."""
    with tarfile.open(file, 'w') as archive:
        for name, value in (('storages', 0), ('tensors', 0), ('pickle', payload)):
            text = pickle.dumps(value, 2)
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text))


def in_package(payload, file):
    with torch.package.PackageExporter(str(file)) as package:
        package.extern('**')
        package.save_pickle('model', 'model.pkl', payload)


def compressed(payload, file):
    """Write a compressed archive, which `torch.load` reads, though PyTorch never compresses."""
    stream = io.BytesIO()
    torch.save(content(payload, 'meta'), stream)
    with zipfile.ZipFile(stream) as old, zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))


def numpys(payload, file):
    with file.open('wb') as stream:
        np.save(stream, np.array([payload], object))


KINDS = {
    'in state_dict': in_part('state_dict'),
    'in meta': in_part('meta'),
    'in optimizer': in_part('optimizer', 'param_groups'),
    'in message_hub': in_part('message_hub', 'runtime_info'),
    'protocol 4': of_protocol(4),
    'not zipped': of_protocol(2, zipped=False),
    'tar': in_tar,
    'array of objects': lambda payload, file: torch.save(content(np.array([payload], object), 'meta'), file),
    'torch.package': in_package,
    'compressed': compressed,
    'bare pickle': lambda payload, file: file.write_bytes(pickle.dumps(payload)),
    'npy': numpys,
}
KINDS |= {f'{kind}, named .safetensors': KINDS[kind] for kind in ('in state_dict', 'not zipped')}


@pytest.fixture(scope='module', params=KINDS)
def written(request, tmp_path_factory):
    """Write a file of each kind; return it and the marker that its payload would write."""
    folder = tmp_path_factory.mktemp('file')
    file = folder / ('model.safetensors' if request.param.endswith('safetensors') else 'file.pth')
    KINDS[request.param](touching(folder / 'marker'), file)
    return file, folder / 'marker'


# the entry points: each takes the file


@functools.cache
def shared_runner():
    folder = TemporaryDirectory()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder.name)  # for logs
        return Runner.from_cfg(toy_config(Path(folder.name))), folder


def by_runner(load):
    return lambda file: getattr(shared_runner()[0], load)(str(file))


def by_flexible_runner(file):
    strategy = SingleDeviceStrategy(work_dir=str(file.parent / 'run'))
    strategy.model = nn.Linear(2, 2)
    strategy.load_checkpoint(str(file), map_location='cpu')


@functools.cache
def of_tool(path, name):
    return runpy.run_path(str(ROOT / 'tools' / path))[name]


def by_train_tool(resume):
    """`tools/train.py --resume`, with the file or by last_checkpoint."""

    def set_resume(file):
        (file.parent / 'last_checkpoint').write_text(str(file))
        config = Config(dict(work_dir=str(file.parent), resume=True))
        of_tool('train.py', 'set_resume')(config, str(file) if resume == 'file' else None)

    return set_resume


def by_address(read):
    def read_served(file):
        with pytest.MonkeyPatch.context() as patch, served(file) as address:
            patch.setattr(torch.hub, 'get_dir', lambda: str(file.parent / 'hub'))
            read(address)

    return read_served


def by_name(file):
    micro = {name: value for name, value in CLASSIFIER['backbone'].items() if name not in ('type', 'arch', 'img_size')}
    with pytest.MonkeyPatch.context() as patch:
        arch = CLASSIFIER['backbone']['arch']
        patch.setitem(models.MODELS_BY_NAME, 'micro', (models.MODELS_BY_NAME['mixmim-swin-tiny'][0], arch))
        get_model('micro', str(file), img_size=32, **micro)


Inferencer = type('Inferencer', (BaseInferencer,), dict.fromkeys(('_init_pipeline', 'visualize', 'postprocess')))


def by_inferencer(package, name):
    """Those of docs/transfer.md."""

    def infer(file):
        kind = getattr(pytest.importorskip(package), name) if package else Inferencer
        kind(Config(dict(model=CLASSIFIER, default_scope='mmpretrain')), str(file))

    return infer


READERS = {
    'read_file': lambda file: read_file(str(file)),
    'read_weights': lambda file: read_weights(str(file)),
    'read_file, address': by_address(read_file),
    'check_checkpoint': lambda file: check_checkpoint(str(file)),
    'train --resume FILE': by_train_tool('file'),
    'train, last_checkpoint': by_train_tool('last'),
    'mmengine': lambda file: checkpoint._load_checkpoint(str(file)),
    'mmengine, address': by_address(lambda url: checkpoint._load_checkpoint(url, map_location='cpu')),
    'mmengine, stream': lambda file: checkpoint.torch.load(io.BytesIO(file.read_bytes()), map_location='cpu'),
    'mmengine, prefix': lambda file: checkpoint._load_checkpoint_with_prefix('layers', str(file)),
    'mmengine, model': lambda file: load_checkpoint(nn.Linear(2, 2), str(file), map_location='cpu'),
    'mmengine, init_cfg': lambda file: initialize(nn.Linear(2, 2), dict(type='Pretrained', checkpoint=str(file))),
    'Runner.load_checkpoint': by_runner('load_checkpoint'),
    'Runner.resume': by_runner('resume'),
    'FlexibleRunner': by_flexible_runner,
    'build_encoder': lambda file: build_encoder(Config(dict(model=CLASSIFIER)), str(file)),
    'build_classifier': lambda file: build_classifier(Config(dict(model=CLASSIFIER)), str(file)),
    'build_pretrainer': lambda file: build_pretrainer(PRETRAINING, str(file)),
    'get_model': by_name,
    'converters': lambda file: of_tool('model_converters/reading.py', 'read_contents')(str(file)),
    'mmengine, inferencer': by_inferencer(None, 'Inferencer'),
    'mmpretrain, inferencer': by_inferencer('mmpretrain', 'ImageClassificationInferencer'),
    'mmdet, inferencer': by_inferencer('mmdet.apis', 'DetInferencer'),
    'mmseg, inferencer': by_inferencer('mmseg.apis', 'MMSegInferencer'),
    'replay': lambda file: of_tool('analysis_tools/replay_nonfinite.py', 'read_event')(file),
}
PRETRAINING = Config(dict(model=dict(type='x', head={}, data_preprocessor=dict(num_sources=2))))


@pytest.mark.parametrize('reader', READERS)
def test_nothing_in_a_file_is_run(written, reader):
    file, marker = written
    with pytest.raises(ValueError, match=r'asks for .*posix\.system') as refused:
        READERS[reader](file)
    assert not marker.exists()
    assert file.name in str(refused.value) or reader.endswith('stream')


def test_the_hub_reads_no_pickle(tmp_path, marker):
    torch.save(touching(marker), tmp_path / 'model.safetensors')
    with pytest.raises(ValueError, match='is not a .safetensors file'):
        from_hub(tmp_path)
    assert not marker.exists()


# what is no payload is read as before


def test_what_mmengine_and_the_official_code_write_is_read(tmp_path):
    """With a log, numpy's numbers, the optimizer and schedules, and parsed arguments."""
    run_until(toy_config(tmp_path))
    whole = torch.load(tmp_path / 'epoch_4.pth', weights_only=False)
    whole['args'] = Namespace(lr=0.1)
    torch.save(whole, tmp_path / 'epoch_4.pth')
    read = checkpoint._load_checkpoint(str(tmp_path / 'epoch_4.pth'), map_location='cpu')
    assert read.keys() == whole.keys()
    assert all(same(read[part], whole[part]) for part in ('state_dict', 'optimizer', 'param_schedulers', 'meta'))
    assert read['args'].lr == 0.1
    logs = [each['message_hub']['log_scalars']['train/loss'] for each in (read, whole)]
    assert logs[0].mean() == logs[1].mean()


def test_mmengine_asked_to_trust_reads_no_more(tmp_path, marker, monkeypatch):
    torch.save(touching(marker), tmp_path / 'file.pth')
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    with pytest.raises(ValueError, match=r'it asks for posix\.system'):
        checkpoint._load_checkpoint(str(tmp_path / 'file.pth'))
    assert not marker.exists()


# configs in checkpoints are programs


def test_resuming_does_not_run_a_stored_config(tmp_path, marker):
    run_until(toy_config(tmp_path), interrupt_after=7)
    whole = torch.load(tmp_path / 'epoch_1.pth', weights_only=False)
    whole['meta']['config'] = f'import os; os.system("touch {marker}")'
    torch.save(whole, tmp_path / 'epoch_1.pth')
    runner = run_until(toy_config(tmp_path), resume=True, load_from=str(tmp_path / 'epoch_1.pth'))
    assert (runner.iter, marker.exists()) == (24, False)


def test_an_inferencer_does_not_run_a_stored_config(tmp_path, marker):
    whole = dict(meta=dict(cfg=f'import os; os.system("touch {marker}")'), state_dict={})
    torch.save(whole, tmp_path / 'file.pth')
    with pytest.raises(ValueError, match=r'file\.pth alone is not enough'):
        Inferencer(weights=str(tmp_path / 'file.pth'))
    assert not marker.exists()


def test_a_log_is_read_without_running_the_config_beside_it(tmp_path, marker):
    folder = tmp_path / 'start/vis_data'
    folder.mkdir(parents=True)
    (folder / 'config.py').write_text(f'import os\nos.system("touch {marker}")\n')
    (folder / 'scalars.json').write_text('{"loss": 1.0, "lr": 0.1, "step": 1}\n')
    assert len(of_tool('visualization/training_curves.py', 'read_run')(tmp_path)) == 1
    assert not marker.exists()


def test_checkpoints_of_deepspeed_are_refused(tmp_path):
    for method in (DeepSpeedStrategy.load_checkpoint, DeepSpeedStrategy.resume):
        with pytest.raises(ValueError, match='DeepSpeed .*may run code: shard with FSDP'):
            method(None, str(tmp_path))


# data


def annotations(payload, file):
    file.write_bytes(pickle.dumps(dict(metainfo={}, data_list=[payload])))


def annotations_as_yaml(payload, file):
    file.write_text(f'metainfo: {{}}\ndata_list: [!!python/object/apply:os.system {[*payload.call[1]]}]\n')


def read_proposals(file):
    own = file.with_name('own.json')
    own.write_text('{"images": [], "annotations": [], "categories": []}')
    pytest.importorskip('mmdet.datasets').CocoDataset(ann_file=str(own), proposal_file=str(file))


def read_features(file):
    return of_tool('visualization/draw_neighbors.py', 'read_saved')(file)


def read_annotations(file):
    return BaseDataset(ann_file=str(file))


DATA = {
    'own.pkl': (annotations, read_annotations),
    'own.pickle': (annotations, read_annotations),
    'own.yaml': (annotations_as_yaml, read_annotations),
    'own.yml': (annotations_as_yaml, read_annotations),
    'proposals.pkl': (annotations, read_proposals),
    'questions.pkl': (annotations, lambda file: mmengine.load(str(file))),  # as many datasets of mmpretrain do
    'file.npz': (lambda payload, file: np.savez(file, names=np.array([payload], object)), read_features),
    'file.npy': (numpys, lambda file: LoadMultispectral()(dict(img_path=str(file)))),
}


@pytest.mark.parametrize('name', DATA)
def test_data_runs_nothing(tmp_path, marker, name):
    write, read = DATA[name]
    write(touching(marker), tmp_path / name)
    refused = rf'{name} cannot be read as annotations without|Object arrays cannot be loaded|something else'
    with pytest.raises(ValueError, match=refused):
        read(tmp_path / name)
    assert not marker.exists()


@pytest.mark.parametrize('protocol', [0, 2, pickle.HIGHEST_PROTOCOL])
def test_annotations_of_plain_data_are_read(tmp_path, protocol):
    data = [dict(img_path='a.jpg', box=np.arange(4.0), label=np.int64(2))]
    (tmp_path / 'own.pkl').write_bytes(pickle.dumps(dict(metainfo={}, data_list=data), protocol))
    read = BaseDataset(ann_file=str(tmp_path / 'own.pkl'))[0]
    assert (read['img_path'], read['label'], read['box'].tolist()) == ('a.jpg', 2, [0.0, 1.0, 2.0, 3.0])


# command lines


def test_tools_run_nothing(tmp_path, marker, monkeypatch):
    """And write nothing before they refuse."""
    config, file, out = make_config(tmp_path), tmp_path / 'file.pth', tmp_path / 'out'
    in_part('optimizer', 'param_groups')(touching(marker), file)
    (tmp_path / 'test.py').write_text("test_dataloader = test_cfg = test_evaluator = dict(type='x')\n")
    refused = r'file\.pth cannot be read as weights without running code: it asks for posix\.system'
    for command in (
        ['train.py', config, '--work-dir', out, '--resume', file],
        ['train.py', config, '--work-dir', out, '--cfg-options', f'load_from={file}'],
        ['test.py', tmp_path / 'test.py', file, '--work-dir', out],
        ['visualization/visualize.py', 'reconstruct', config, file, '--out', out / 'grid.png'],
    ):
        monkeypatch.setattr(sys, 'argv', [str(word) for word in command])
        monkeypatch.syspath_prepend(ROOT / 'tools/visualization')
        with pytest.raises(SystemExit, match=refused):
            of_tool(command[0], 'main')()
    assert not marker.exists()
    assert not out.exists()
