"""Files with any name that a disk can hold: listed, read, logged, printed, listed as corrupt, saved and read again."""

import ast
import io
import os
import sys
from types import SimpleNamespace

import pytest
import torch
from draw_neighbors import read_saved
from mmengine.logging import MMLogger
from PIL import Image
from tool_loading import TOOLS, load_tool
from torch import nn

from mixmae_mm.apis import FeatureExtractor
from mixmae_mm.datasets import ImageFolder, LoadImage
from mixmae_mm.engine.hooks import CorruptImagesHook
from mixmae_mm.utils.names import expand, printable

NAMES = [
    'a b.png', 'a,b.png', '100%s %d.png', '#1.png', '~.png', '~root.png', '7.png', '[red]x[:].png', "it's.png",
    '(1).png', 'a\nb.png', 'tab\t.png', 'é ü 漢.png', '{x}.png', '$HOME.png', '-o.png', 'a=b.png', 'x' * 251 + '.png',
    '<b>&.png', os.fsdecode(b'\xff\xfe.png'), os.fsdecode('é.png'.encode('latin-1')),
]  # fmt: skip


class Mean(nn.Module):
    """An encoder whose features are the mean colors."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, images):
        return (images.mean((2, 3), keepdim=True) * self.scale,)


@pytest.fixture
def folder(tmp_path):
    """Images of one color each, which is their number in the list of `NAMES`, under odd names in an odd folder."""
    root = tmp_path / os.fsdecode(b'~ [red] %s,\xff')
    root.mkdir()
    for number, name in enumerate(NAMES):
        Image.new('RGB', (8, 8), (number, 0, 0)).save(root / name)
    return str(root)


def test_features_are_saved_and_read_again_with_names(folder, tmp_path):
    extract = FeatureExtractor(Mean(), image_size=8, mean=[0.0] * 3, std=[1.0] * 3, device='cpu')
    names, features = read_saved(extract.save(folder, tmp_path / 'features.npz'))
    assert dict(zip(names, features[:, 0].tolist(), strict=True)) == {
        os.path.join(folder, name): number for number, name in enumerate(NAMES)
    }
    assert all(os.path.isfile(name) for name in names)


def test_each_corrupt_file_is_one_line_of_list_and_log(folder, tmp_path, capfd):
    for name in NAMES:
        with open(os.path.join(folder, name), 'wb') as file:
            file.write(b'no image')
    Image.new('RGB', (8, 8)).save(os.path.join(folder, 'z.png'))
    log = tmp_path / 'log.txt'
    MMLogger.get_instance('test_names', log_file=str(log))
    images = ImageFolder(folder, [LoadImage()], max_corrupt=1.0)
    for number in range(len(images)):
        images[number]
    loader = SimpleNamespace(dataset=images)
    runner = SimpleNamespace(work_dir=str(tmp_path), train_dataloader=loader, logger=MMLogger.get_current_instance())
    CorruptImagesHook().after_train_epoch(runner)
    listed = (tmp_path / 'corrupt.txt').read_bytes().split(b'\n')[:-1]
    paths = [line.replace(rb'\n', b'\n') for line in listed]
    assert sorted(paths) == sorted(os.fsencode(os.path.join(folder, name)) for name in NAMES)
    lines = [line for line in log.read_text('utf-8').splitlines() if 'image skipped' in line]
    assert len(lines) == len(NAMES)
    assert all(any(printable(name) in line for line in lines) for name in NAMES)
    assert 'Logging error' not in capfd.readouterr().err


@pytest.mark.parametrize('encoding', ['ascii', 'latin-1', 'utf-8'])
def test_checks_print_any_name_to_any_terminal(folder, monkeypatch, encoding):
    for name in NAMES[:-2]:
        os.remove(os.path.join(folder, name))
    for name in NAMES[-2:]:
        os.truncate(os.path.join(folder, name), 0)
    os.rename(os.path.join(folder, NAMES[-1]), os.path.join(folder, '漢.png'))
    terminal = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, 'stdout', terminal)
    status = load_tool('dataset_tools/check_dataset.py').main([folder, '--layout', 'images', '--workers', '1'])
    terminal.flush()
    printed = terminal.buffer.getvalue().decode(encoding)
    assert status == 1
    assert r'\xff\xfe.png' in printed
    assert ('漢.png' if encoding == 'utf-8' else r'\u6f22.png') in printed


def test_a_name_that_can_be_printed_is_shown_as_it_is():
    assert printable('é ü 漢 %s [x].png') == 'é ü 漢 %s [x].png'
    assert printable(os.fsdecode(b'a\n\t\x1b\x7f\xff.png')) == r'a\n\t\x1b\x7f\xff.png'
    assert printable('\u2028') == r'\u2028'


def test_a_tilde_is_the_home_folder_unless_it_is_a_name(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', '/home/me')
    monkeypatch.chdir(tmp_path)
    assert expand('~/a') == '/home/me/a'
    assert expand('a~') == 'a~'
    (tmp_path / '~').mkdir()
    assert expand('~') == '~'


PATHS = {
    'among', 'ann', 'checkpoint', 'config', 'configs', 'features', 'file', 'folder', 'from', 'golden', 'images',
    'masks', 'notebook', 'of', 'out', 'pack', 'plot', 'resume', 'rows', 'show-dir', 'study', 'train', 'train-masks',
    'val', 'val-masks', 'work-dir', 'work_dirs',
}  # fmt: skip
"""Arguments of tools that are paths."""


def arguments_of_tools():
    """Yield where each argument of a tool is added, its name, and its settings, as code."""
    for path in [*TOOLS.rglob('*.py'), *(TOOLS.parent / 'docs/figures').glob('*.py')]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, 'attr', '') == 'add_argument':
                settings = {one.arg: ast.unparse(one.value) for one in node.keywords}
                name = node.args[0].value.lstrip('-') if isinstance(node.args[0], ast.Constant) else ''
                yield f'{path.relative_to(TOOLS.parent)}:{node.lineno}', name, settings


def test_tools_expand_the_home_folder_in_every_path():
    found = list(arguments_of_tools())
    assert len({name for _, name, _ in found} & PATHS) > 20
    for where, name, settings in found:
        kind = settings.get('type')
        assert kind != 'Path', where
        assert name not in PATHS or kind in ('expand', 'expanded', 'image_file'), where
