"""No way of loading something runs what it holds: entry points x kinds of files, each of which would write a marker."""

import functools
import io
import os
import pickle
import runpy
import sys
import tarfile
import zipfile
from argparse import Namespace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

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
from mmengine.optim import OneCycleParamScheduler
from mmengine.registry import PARAM_SCHEDULERS
from mmengine.runner import Runner, checkpoint, load_checkpoint
from torch import nn
from training_toys import run_until, same, toy_config

from mixmae_mm.apis import from_hub, get_model
from mixmae_mm.apis import model as models
from mixmae_mm.apis.model import build_classifier, build_encoder, build_pretrainer
from mixmae_mm.datasets import LoadMultispectral
from mixmae_mm.utils.errors import check_checkpoint
from mixmae_mm.utils.safe_io.allow_list import PlainUnpickler, known_function, one_cycle
from mixmae_mm.utils.safe_io.weights_file import read_file, read_weights

CLASSIFIER = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(type='mixmae_mm.MixMIMSwin', arch=dict(embed_dims=8, depths=(1,), num_heads=(1,)), img_size=32,
                  window_sizes=(4,), out_indices=(0,)),
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(type='mmpretrain.LinearClsHead', num_classes=2, in_channels=8),
)  # fmt: skip

SCHEDULES = dict(
    CosineRestartLR=dict(periods=[5, 5], restart_weights=[1, 0.5], eta_min=0.0),
    MultiStepLR=dict(milestones=[2]),
    OneCycleLR=dict(eta_max=1.0, total_steps=10),
    ReduceOnPlateauLR=dict(monitor='loss'),
    CosineAnnealingMomentum=dict(T_max=5),
)


class Payload:
    """Pickled, it is a call that writes the marker."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f'touch {self.marker}',)


@pytest.fixture
def marker(tmp_path):
    return tmp_path / 'marker'


# the files


def content(payload, part, *names):
    """Put a payload somewhere into what mmengine writes."""
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


def in_array(payload, file):
    array = np.empty(1, object)
    array[0] = payload
    torch.save(content(array, 'meta'), file)


def in_tar(payload, file):
    """The format of PyTorch before 0.1.10."""
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
    """As `torch.load` reads too, though PyTorch never compresses."""
    stream = io.BytesIO()
    torch.save(content(payload, 'meta'), stream)
    with zipfile.ZipFile(stream) as old, zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))


def numpys(payload, file):
    with file.open('wb') as stream:
        np.save(stream, np.array([payload], object), allow_pickle=True)


KINDS = {
    'in state_dict': in_part('state_dict'),
    'in meta': in_part('meta'),
    'in optimizer': in_part('optimizer', 'param_groups'),
    'in message_hub': in_part('message_hub', 'runtime_info'),
    'protocol 4': of_protocol(4),
    'not zipped': of_protocol(2, zipped=False),
    'tar': in_tar,
    'array of objects': in_array,
    'torch.package': in_package,
    'compressed': compressed,
    'bare pickle': lambda payload, file: file.write_bytes(pickle.dumps(payload)),
    'npy': numpys,
}


@pytest.fixture(scope='module', params=[*KINDS, 'safetensors', 'safetensors, not zipped'])
def written(request, tmp_path_factory):
    """A file of each kind, and the marker that its payload would write."""
    folder = tmp_path_factory.mktemp('file')
    file = folder / 'file.pth'
    if request.param.startswith('safetensors'):
        file = folder / 'model.safetensors'
        of_protocol(2, 'not' not in request.param)(Payload(folder / 'marker'), file)
    else:
        KINDS[request.param](Payload(folder / 'marker'), file)
    return file, folder / 'marker'


# the entry points: each takes the file


@functools.cache
def shared_runner():
    folder = TemporaryDirectory()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder.name)  # for logs
        return Runner.from_cfg(toy_config(Path(folder.name))), folder


def by_runner(file, load):
    getattr(shared_runner()[0], load)(str(file))


def by_flexible_runner(file):
    strategy = SingleDeviceStrategy(work_dir=str(file.parent / 'run'))
    strategy.model = nn.Linear(2, 2)
    strategy.load_checkpoint(str(file), map_location='cpu')


@functools.cache
def of_tool(path, name):
    return runpy.run_path(str(ROOT / 'tools' / path))[name]


def by_train_tool(file):
    """`tools/train.py --resume FILE`."""
    of_tool('train.py', 'set_resume')(Config(dict(work_dir=str(file.parent))), str(file))


def by_last_checkpoint(file):
    """`tools/train.py --resume`."""
    (file.parent / 'last_checkpoint').write_text(str(file))
    of_tool('train.py', 'set_resume')(Config(dict(work_dir=str(file.parent), resume=True)), None)


def by_address(read):
    """Have a file read from a server on this machine."""

    def read_served(file):
        handler = functools.partial(SimpleHTTPRequestHandler, directory=file.parent)
        with pytest.MonkeyPatch.context() as patch, ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
            patch.setenv('no_proxy', '*')
            patch.setattr(torch.hub, 'get_dir', lambda: str(file.parent / 'hub'))
            Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            try:
                read(f'http://127.0.0.1:{server.server_port}/{file.name}')
            finally:
                server.shutdown()

    return read_served


def by_name(file):
    micro = {name: value for name, value in CLASSIFIER['backbone'].items() if name not in ('type', 'arch', 'img_size')}
    with pytest.MonkeyPatch.context() as patch:
        arch = CLASSIFIER['backbone']['arch']
        patch.setitem(models.MODELS_BY_NAME, 'micro', (models.MODELS_BY_NAME['mixmim-swin-tiny'][0], arch))
        get_model('micro', str(file), img_size=32, **micro)


def by_inferencer(package, name):
    """Those of docs/transfer.md."""

    def infer(file):
        if package:
            kind = getattr(pytest.importorskip(package), name)
        else:
            kind = type(name, (BaseInferencer,), dict.fromkeys(('_init_pipeline', 'visualize', 'postprocess')))
        kind(Config(dict(model=CLASSIFIER, default_scope='mmpretrain')), str(file))

    return infer


READERS = {
    'read_file': lambda file: read_file(str(file)),
    'read_weights': lambda file: read_weights(str(file)),
    'read_file, address': by_address(read_file),
    'check_checkpoint': lambda file: check_checkpoint(str(file)),
    'train --resume FILE': by_train_tool,
    'train, last_checkpoint': by_last_checkpoint,
    'mmengine': lambda file: checkpoint._load_checkpoint(str(file)),
    'mmengine, address': by_address(lambda url: checkpoint._load_checkpoint(url, map_location='cpu')),
    'mmengine, stream': lambda file: checkpoint.torch.load(io.BytesIO(file.read_bytes()), map_location='cpu'),
    'mmengine, prefix': lambda file: checkpoint._load_checkpoint_with_prefix('layers', str(file)),
    'mmengine, model': lambda file: load_checkpoint(nn.Linear(2, 2), str(file), map_location='cpu'),
    'mmengine, init_cfg': lambda file: initialize(nn.Linear(2, 2), dict(type='Pretrained', checkpoint=str(file))),
    'Runner.load_checkpoint': functools.partial(by_runner, load='load_checkpoint'),
    'Runner.resume': functools.partial(by_runner, load='resume'),
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
    of_protocol(2)(Payload(marker), tmp_path / 'model.safetensors')
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


@pytest.mark.parametrize('kind', SCHEDULES)
def test_states_of_all_schedules_are_read(tmp_path, kind):
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0, momentum=0.9)
    written = PARAM_SCHEDULERS.get(kind)(optimizer, **SCHEDULES[kind]).state_dict()
    torch.save(written, tmp_path / 'file.pth')
    assert checkpoint._load_checkpoint(str(tmp_path / 'file.pth')) == written


class Called:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize('owner', [one_cycle, known_function(one_cycle, '_annealing_cos'), HistoryBuffer, torch])
def test_no_other_function_is_found(owner):
    for name in ('__init__', '__globals__', 'step', 'load', 'update'):
        with pytest.raises(pickle.UnpicklingError, match='which no log or schedule needs'):
            known_function(owner, name)


@pytest.mark.parametrize(
    'call', [(OneCycleParamScheduler, ()), (getattr, (OneCycleParamScheduler, '__init__')), (getattr, (dict, 'get'))]
)
def test_a_schedule_is_not_called(tmp_path, call):
    torch.save(Called(*call), tmp_path / 'file.pth')
    with pytest.raises(ValueError, match=r'damaged or malicious|asks for'):
        read_file(str(tmp_path / 'file.pth'))


ARRAYS = dict(
    matrix=np.arange(6.0).reshape(2, 3),
    columns=np.asfortranarray(np.arange(6).reshape(2, 3)),
    number=np.float32(3),
    truth=np.bool_(True),
    texts=np.array(['x', 'yy']),
    day=np.array('2020-01-01', 'M8[D]'),
)


def by_torch(zipped):
    def there_and_back(value):
        stream = io.BytesIO()
        torch.save(value, stream, _use_new_zipfile_serialization=zipped)
        return torch.load(io.BytesIO(stream.getvalue()), weights_only=True)

    return there_and_back


PICKLES = [by_torch(True), by_torch(False)]
PICKLES += [lambda value, p=p: PlainUnpickler(io.BytesIO(pickle.dumps(value, p))).load() for p in (0, 2, 5)]


@pytest.mark.parametrize('there_and_back', PICKLES)
def test_arrays_are_read(there_and_back):
    read = there_and_back(ARRAYS)
    for name, value in ARRAYS.items():
        assert (type(read[name]), read[name].dtype) == (type(value), value.dtype)
        assert np.array_equal(read[name], value)


@pytest.mark.parametrize('there_and_back', PICKLES)
@pytest.mark.parametrize(
    'forged',
    [
        Called(np.ndarray, ((1,), 'O', b'8 bytes.')),
        Called(np.dtype, ('O',)),
        Called(np.dtype, ([('a', 'O')],)),
        np.array([1, 'a'], object),
    ],
)
def test_no_bytes_are_taken_for_addresses_of_objects(there_and_back, forged):
    """Numpy does so: of objects that a file makes up."""
    with pytest.raises(pickle.UnpicklingError, match=r'it asks for (numpy\.ndarray|an array of Python objects)'):
        there_and_back(forged)


def test_mmengine_asked_to_trust_reads_no_more(tmp_path, marker, monkeypatch):
    torch.save(Payload(marker), tmp_path / 'file.pth')
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
    kind = type('Inferencer', (BaseInferencer,), dict.fromkeys(('_init_pipeline', 'visualize', 'postprocess')))
    with pytest.raises(ValueError, match='file.pth alone is not enough: the config inside a checkpoint is a program'):
        kind(weights=str(tmp_path / 'file.pth'))
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
        with pytest.raises(ValueError, match='checkpoints of DeepSpeed may run code: shard with FSDP'):
            method(None, str(tmp_path))


# data


@pytest.mark.parametrize('name', ['own.pkl', 'own.pickle', 'own.yaml', 'own.yml'])
def test_annotations_run_nothing(tmp_path, marker, name):
    file = tmp_path / name
    if file.suffix.startswith('.p'):
        file.write_bytes(pickle.dumps(dict(metainfo={}, data_list=[Payload(marker)])))
    else:
        file.write_text(f'metainfo: {{}}\ndata_list: [!!python/object/apply:os.system ["touch {marker}"]]\n')
    with pytest.raises(ValueError, match=rf'{name} cannot be read as annotations without running code'):
        BaseDataset(ann_file=str(file))
    assert not marker.exists()


@pytest.mark.dense
def test_proposals_run_nothing(tmp_path, marker):
    (tmp_path / 'proposals.pkl').write_bytes(pickle.dumps({'a.jpg': Payload(marker)}))
    (tmp_path / 'own.json').write_text('{"images": [], "annotations": [], "categories": []}')
    kind = pytest.importorskip('mmdet.datasets').CocoDataset
    with pytest.raises(ValueError, match=r'proposals\.pkl cannot be read as annotations without running code'):
        kind(ann_file=str(tmp_path / 'own.json'), proposal_file=str(tmp_path / 'proposals.pkl'))
    assert not marker.exists()


@pytest.mark.parametrize('protocol', [0, 2, pickle.HIGHEST_PROTOCOL])
def test_annotations_of_plain_data_are_read(tmp_path, protocol):
    data = [dict(img_path='a.jpg', box=np.arange(4.0), label=np.int64(2))]
    (tmp_path / 'own.pkl').write_bytes(pickle.dumps(dict(metainfo={}, data_list=data), protocol))
    read = BaseDataset(ann_file=str(tmp_path / 'own.pkl'))[0]
    assert (read['img_path'], read['label'], read['box'].tolist()) == ('a.jpg', 2, [0.0, 1.0, 2.0, 3.0])


def save_features(payload, file):
    """Write features of which the names hide a payload."""
    np.savez(file, names=np.array([payload], object), features=np.zeros((1, 2)))


DATA = {
    'features': (save_features, '.npz', lambda file: of_tool('visualization/draw_neighbors.py', 'read_saved')(file)),
    'array': (
        lambda payload, file: np.save(file, np.array([payload], object)),
        '.npy',
        lambda file: LoadMultispectral()(dict(img_path=str(file))),
    ),
}


@pytest.mark.parametrize('kind', DATA)
def test_data_runs_nothing(tmp_path, marker, kind):
    write, suffix, read = DATA[kind]
    write(Payload(marker), tmp_path / f'file{suffix}')
    with pytest.raises(ValueError, match=r'Object arrays cannot be loaded|something else'):
        read(tmp_path / f'file{suffix}')
    assert not marker.exists()


# command lines


def test_tools_run_nothing(tmp_path, marker, monkeypatch):
    """And write nothing before they refuse."""
    config, file, out = make_config(tmp_path), tmp_path / 'file.pth', tmp_path / 'out'
    in_part('optimizer', 'param_groups')(Payload(marker), file)
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
