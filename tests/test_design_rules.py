"""Rules of the design that hold for the whole package."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import mixmae_mm
from mixmae_mm import registry

PACKAGE = Path(mixmae_mm.__file__).parent
REGISTRIES = {name: value for name, value in vars(registry).items() if isinstance(value, registry.roots.Registry)}
MODELS_UTILS = (
    'attention',
    'autocast',
    'cpu_kernels',
    'homologous_attention',
    'layers',
    'mixins',
    'padding',
    'pos_embed',
    'source_masking',
    'token_layouts',
    'windows',
)
CORE = ('mixing', 'structures', 'utils.validation', *(f'models.utils.{module}' for module in MODELS_UTILS))


def imported(path):
    """Name the packages that a file imports, at its top or inside."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or '.'


@pytest.mark.parametrize('module', [*CORE, 'models.utils.swin_layers'])
def test_the_core_needs_torch_only(module):
    allowed = {*sys.stdlib_module_names, 'torch', 'mixmae_mm'}
    file = PACKAGE / f'{module.replace(".", "/")}.py'
    assert {name.split('.')[0] for name in imported(file)} <= allowed
    ours = {name for name in imported(file) if name.startswith('mixmae_mm.')}
    assert ours <= {f'mixmae_mm.{name}' for name in CORE}


FLOORS = [
    ['engine'],
    ['apis', 'evaluation'],
    ['datasets'],
    ['models'],
    ['checkpoint', 'visualization'],
    ['registry'],
    ['utils', 'structures'],
    ['mixing', 'version'],
]
"""From the top: each may import what stands below, and not what stands beside it."""
LEVEL = {name: level for level, names in enumerate(FLOORS) for name in names}


def test_only_these_stand_at_the_top():
    here = {path.stem for path in PACKAGE.glob('[!._]*') if path.name not in ('__pycache__', 'py.typed')}
    assert here == {*LEVEL, 'doctor'}


def test_no_import_runs_up():
    up = set()
    for room in LEVEL:
        for path in [*PACKAGE.glob(f'{room}.py'), *(PACKAGE / room).rglob('*.py')]:
            targets = {name.split('.')[1] for name in imported(path) if name.startswith('mixmae_mm.')}
            up |= {(str(path.relative_to(PACKAGE)), other) for other in targets - {room} if LEVEL[other] <= LEVEL[room]}
    assert up == set()


def test_no_downstream_library_is_imported():
    downstream = {'mmpretrain', 'mmdet', 'mmseg'}
    for path in PACKAGE.rglob('*.py'):
        assert not {name.split('.')[0] for name in imported(path)} & downstream, path


@pytest.mark.parametrize('name', REGISTRIES)
def test_all_that_is_registered_is_public(name):
    own = REGISTRIES[name]
    modules = [importlib.import_module(location) for location in own._locations]
    own.import_from_location()
    for registered, value in own.module_dict.items():
        if value.__module__.startswith('mixmae_mm'):
            public = [value.__module__, *(m.__name__ for m in modules if registered in getattr(m, '__all__', ()))]
            assert any(hasattr(m, registered) for m in modules), f'{registered} is not to be had from {modules}'
            assert len(public) > 1 or value.__module__ in own._locations, f'{registered} is missing from __all__'


def test_types_build_in_a_fresh_process_without_custom_imports():
    program = (
        'from mmengine.registry import MODELS\n'
        "neck = MODELS.build(dict(type='mixmae_mm.MixDecoder', in_channels=8, embed_dims=8, depth=1, num_heads=2))\n"
        'print(type(neck).__module__)'
    )
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == 'mixmae_mm.models.necks.mix_decoder'
