"""Every message that docs/troubleshooting.md quotes is printed by our code, or by the package that it is from."""

import ast
import ctypes
import errno
import importlib
import inspect
import os
import pickle
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from mixmae_mm.utils.config_keys import check_options

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / 'docs/troubleshooting.md').read_text()
QUOTED = re.findall(r'^### `(.+)`$', PAGE, re.MULTILINE)


def literals(path):
    """List the texts of a file, f-strings with an ellipsis for what they fill in."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield ''.join(part.value if isinstance(part, ast.Constant) else '...' for part in node.values)


def message_of(call, *arguments):
    try:
        call(*arguments)
    except Exception as error:
        return f'{type(error).__name__}: {error}'
    raise AssertionError('nothing was raised')


def source_of(module):
    return inspect.getsource(importlib.import_module(module))


def of_torch():
    return message_of(torch.library.register_fake('vision::nms'), lambda: 0).replace('vision::', 'torchvision::')


def of_import(name):
    """Have Python miss a module, of another name because this one may be there."""
    return message_of(importlib.import_module, f'{name}_nowhere').replace('_nowhere', '')


# what prints each message that is not ours, or its source
UPSTREAM = {
    'operator torchvision::nms does not exist': of_torch,
    'Weights only load failed': lambda: source_of('torch.serialization'),
    "No module named 'mmcv._ext'": lambda: of_import('mmcv._ext'),
    "No module named 'pkg_resources'": lambda: of_import('pkg_resources'),
    "No module named 'ftfy'": lambda: of_import('ftfy'),
    'is used but incompatible. Please install': lambda: source_of('mmpretrain'),
    'A module that was compiled using NumPy 1.x cannot be run in': lambda: source_of('numpy.core._multiarray_umath'),
    'libGL.so.1: cannot open shared object file': lambda: message_of(ctypes.CDLL, 'no_libGL.so.1'),
    'EOFError: Ran out of input': lambda: message_of(pickle.loads, b''),
    'is not in the ... registry': lambda: message_of(MODELS.build, dict(type='MixMAE')),
    'DataLoader worker (pid(s) ...) exited unexpectedly': lambda: source_of('torch.utils.data.dataloader'),
    'Too many open files': lambda: os.strerror(errno.EMFILE),
    'Address already in use': lambda: os.strerror(errno.EADDRINUSE),
}
OF_A_GPU = 'CUDA out of memory'  # in a library that builds for the CPU do not have
OF_OPENMIM = 'is not found, please upgrade your ... to support search command'


def has(text, quoted):
    """Return whether the pieces of a message stand in a text, one after the other."""
    return re.search('.{0,200}?'.join(map(re.escape, quoted.split('...'))), text, re.DOTALL) is not None


@pytest.fixture(scope='module')
def ours():
    files = [*(ROOT / 'mixmae_mm').rglob('*.py'), *(ROOT / 'tools').rglob('*.py')]
    return [text for path in files for text in literals(path)]


@pytest.mark.parametrize('quoted', [quoted for quoted in QUOTED if quoted not in (*UPSTREAM, OF_A_GPU, OF_OPENMIM)])
def test_a_message_is_in_our_code(quoted, ours):
    assert any(has(text, quoted) for text in ours)


@pytest.mark.parametrize('quoted', UPSTREAM)
def test_a_message_of_others_is_theirs(quoted):
    assert quoted in QUOTED
    text = re.sub(r"' *\\?\n *f?'", '', UPSTREAM[quoted]())  # literals over several lines
    assert has(text, quoted)


@pytest.mark.gpu
def test_a_gpu_that_is_full_says_so():
    assert OF_A_GPU in message_of(lambda: torch.empty(1 << 50, device='cuda'))


ENTRIES = {
    entry.split('\n', 1)[0]: entry.split('\n', 1)[1].split('\n## ')[0]
    for entry in re.split(r'^### ', PAGE, flags=re.MULTILINE)[1:]
}
PARTS = r'\w+_dataloader|model|optim_wrapper|default_hooks|train_cfg'
SETTING = re.compile(rf'`(?:--cfg-options )?((?:{PARTS})(?:\.\w+)+)(?![\w(.])')


def test_every_entry_names_a_command_a_setting_or_a_page():
    assert len(ENTRIES) > 50
    assert [title for title, text in ENTRIES.items() if not re.search(r'`[^`]+`|\]\(', text)] == []


def test_the_settings_that_entries_name_are_read():
    config = Config.fromfile(ROOT / 'configs/mixmae/mixmae_mixmim-swin-micro_1xb64-coslr-40e_shapes-64px.py')
    named = SETTING.findall(PAGE)
    assert len(named) > 5
    assert check_options(config, named) == []
    with pytest.raises(ValueError, match='batch_size'):
        check_options(config, SETTING.findall('set `train_dataloader.bach_size=2`'))
