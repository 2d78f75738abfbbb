"""model-index.yml and the metafiles: complete, true of the configs, and readable by their users.

Parameters are compared where all models are built, in test_configs and test_dense_configs.
"""

import ast
import copy
import inspect
import re
from pathlib import Path

import modelindex
import pytest
import torch
from counting import multiply_adds
from metafiles import ROOT, collections, metafiles, models
from mmengine.registry import MODELS, init_default_scope
from shipped_configs import FILES, from_file

from mixmae_mm.models import MAE, MixedAE, MixMAE
from mixmae_mm.models.utils import homologous_attention

LISTED = pytest.mark.parametrize('model', models(), ids=lambda model: model['Name'])
WITH_RESULTS = [model for model in models() if 'Results' in model]


def read(model):
    return copy.deepcopy(from_file(ROOT / model['Config']))


def test_every_config_is_listed_once_in_the_metafile_beside_it():
    listed = [(metafile, model['Config']) for metafile in metafiles() for model in metafiles()[metafile]['Models']]
    assert sorted(config for _, config in listed) == sorted(str(path.relative_to(ROOT)) for path in FILES)
    assert all(config.rpartition('/')[0] == metafile.rpartition('/')[0] for metafile, config in listed)
    assert {str(path.relative_to(ROOT)) for path in (ROOT / 'configs').rglob('metafile.yml')} == set(metafiles())


def test_the_index_loads_as_mim_loads_it():
    index = modelindex.load(str(ROOT / 'model-index.yml'))
    assert {model.name for model in index.models} == {model['Name'] for model in models()}
    assert {entry.name for entry in index.collections} == {'MixMAE', 'MixedAE', 'MAE', 'SimMIM', 'From scratch'}
    errors = [error for error in index.check(silent=True) if 'README' not in error]  # those are looked for beside it
    assert errors == []


@LISTED
def test_an_entry_says_what_the_config_does(model):
    config, metadata = read(model), model['Metadata']
    assert model['Name'] == model['Name'].lower() == model['Config'].rpartition('/')[2].removesuffix('.py')
    assert model['In Collection'] in collections()
    loop = config.get('train_cfg', {})
    lengths = {'Epochs': loop.get('max_epochs'), 'Iterations': loop.get('max_iters')}
    assert {name: length for name, length in lengths.items() if length} == {
        name: metadata[name] for name in lengths if name in metadata
    }
    if 'custom' not in model['Name']:  # that of detection scales COCO's learning rate
        assert metadata.get('Batch Size') == config.get('auto_scale_lr', {}).get('base_batch_size')
    assert ('in1k' in model['Name']) == (metadata['Training Data'] == 'ImageNet-1k')


def states(text, value):
    """Return whether a text has a number, in percent or as a fraction, and not as part of another number."""
    wanted = '|'.join(re.escape(number) for number in (f'{value}', f'{value / 100:.3f}'))
    return re.search(rf'(?<![\d.])({wanted})(?!\d)', text) is not None


def sections(config):
    """Join the sections of docs/results.md that name a config, and `make demo-dense` if the config's note does."""
    parts = re.split(r'^## ', (ROOT / 'docs/results.md').read_text(), flags=re.MULTILINE)
    path = config.replace('-scratch', '')
    note, name = (ROOT / path).read_text(), path.rpartition('/')[2].removesuffix('.py')
    demo = '`make demo-dense`'
    return '\n'.join(part for part in parts if name in part or (demo in note and part.startswith(demo)))


def test_results_are_to_be_found_where_their_source_is_said_to_be():
    for model in WITH_RESULTS:
        source = model['Metadata']['Source of Results']
        note = ast.get_docstring(ast.parse((ROOT / model['Config']).read_text()))
        for name, value in ((n, v) for result in model['Results'] for n, v in result['Metrics'].items()):
            assert name.startswith('Reported ') == source.endswith('; not run here'), model['Name']
            stated = sections(model['Config']) if source == 'docs/results.md' else note
            assert states(stated, value), f'{model["Name"]}: {name} {value}'


def method_of(model):
    """Return the collection of an entry: the method of its result, or of the checkpoint that it starts from."""
    if '-scratch' in model['Name']:
        return 'From scratch'
    if re.search(r'(?<!Mix)MAE', model['Metadata'].get('Source of Results', '')):
        return 'MAE'
    init = read(model).model.backbone.get('init_cfg')
    run = Path(init.checkpoint).parts[1] if init else model['Name']
    return {'mixmae': 'MixMAE', 'mixedae': 'MixedAE', 'mae': 'MAE', 'simmim': 'SimMIM'}[run.partition('_')[0]]


@LISTED
def test_an_entry_is_filed_under_its_method_and_says_so_without_a_result(model):
    note = ast.get_docstring(ast.parse((ROOT / model['Config']).read_text()))
    assert model['In Collection'] == method_of(model)
    assert ('Source of Results' in model['Metadata']) == ('Results' in model)
    assert 'Results' in model or 'untuned' in note.lower()


@pytest.mark.parametrize(('name', 'method'), [('MixMAE', MixMAE), ('MixedAE', MixedAE), ('MAE', MAE)])
def test_a_collection_names_its_paper_as_we_do_elsewhere(name, method):
    entry, number = collections()[name], collections()[name]['Paper']['URL'].removeprefix('https://arxiv.org/abs/')
    assert re.fullmatch(r'\d{4}\.\d{5}', number)
    assert f'arXiv {number}' in inspect.getdoc(method)
    assert (ROOT / entry['README']).is_file()
    assert (ROOT / entry['Code']).is_file()
    (title,) = re.findall(r' title = {(.*)},', entry['Paper']['BibTeX'])
    assert title.replace('{', '').replace('}', '') == entry['Paper']['Title']


def of_an_image(config):
    """Count the multiply-adds of a forward pass per image."""
    config.model.backbone.pop('init_cfg', None)
    init_default_scope('mmpretrain')
    model = MODELS.build(config.model).eval()
    sources = config.model.get('data_preprocessor', {}).get('num_sources', 1)
    images = torch.zeros(sources, 3, config.model.backbone.img_size, config.model.backbone.img_size)
    if 'neck' in config.model and 'mixmae_mm' in config.model.type:
        mixed = model.data_preprocessor.mix(images)
        return multiply_adds(lambda: model.loss(mixed)) / sources
    return multiply_adds(lambda: model.head(model.extract_feat(images)))


@pytest.mark.parametrize(
    'name',
    [
        'mixmae_mixmim-swin-micro_1xb64-coslr-40e_imagenette-96px',
        'mixedae_vit-micro-p8_1xb64-coslr-40e_materials-64px',
        'mae_vit-micro-p8_1xb64-coslr-40e_materials-64px',
        'vit-micro-p8_1xb64-coslr-10e_imagenette-96px',
    ],
)
def test_multiply_adds_are_those_of_the_model(name, monkeypatch):
    # as on a GPU, where the logits that MixedAE chooses keys by are computed for that alone
    monkeypatch.setattr(homologous_attention, 'runs_plainly', lambda x: False)
    (model,) = [model for model in models() if model['Name'] == name]
    assert of_an_image(read(model)) == model['Metadata']['FLOPs']
