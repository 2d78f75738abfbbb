"""Every message of ours that docs/troubleshooting.md quotes is printed by our code, and its settings exist."""

import ast
import re
from pathlib import Path

import pytest
from mmengine.config import Config

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


OF_OTHERS = (
    *('operator torchvision::nms does not exist', 'Weights only load failed', "No module named 'mmcv._ext'"),
    *("No module named 'pkg_resources'", "No module named 'ftfy'", 'is used but incompatible. Please install'),
    *('A module that was compiled using NumPy 1.x cannot be run in', 'EOFError: Ran out of input'),
    *('libGL.so.1: cannot open shared object file', 'is not in the ... registry', 'Too many open files'),
    *('DataLoader worker (pid(s) ...) exited unexpectedly', 'Address already in use', 'CUDA out of memory'),
    'is not found, please upgrade your ... to support search command',
)
"""Messages of torch, OpenMMLab and the system, as they were seen."""


def has(text, quoted):
    """Return whether the pieces of a message stand in a text, one after the other."""
    return re.search('.{0,200}?'.join(map(re.escape, quoted.split('...'))), text, re.DOTALL) is not None


@pytest.fixture(scope='module')
def ours():
    files = [*(ROOT / 'mixmae_mm').rglob('*.py'), *(ROOT / 'tools').rglob('*.py')]
    return [text for path in files for text in literals(path)]


@pytest.mark.parametrize('quoted', [quoted for quoted in QUOTED if quoted not in OF_OTHERS])
def test_a_message_is_in_our_code(quoted, ours):
    assert any(has(text, quoted) for text in ours)


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
    config = Config.fromfile(ROOT / 'configs/mixmae/mixmae_mixmim-swin-micro_1xb64-coslr-40e_materials-64px.py')
    named = SETTING.findall(PAGE)
    assert len(named) > 5
    assert check_options(config, named) == []
    with pytest.raises(ValueError, match='batch_size'):
        check_options(config, SETTING.findall('set `train_dataloader.bach_size=2`'))
