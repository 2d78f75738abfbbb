"""Weights read from files: every supported kind, and every refused one; broken files give one kind of error.

`EXAMPLES=20000 pytest tests/test_utils/test_weights_file.py` tries more.
"""

import io
import os
import struct
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from payloads import Called, served
from safetensors.torch import save

from mixmae_mm.utils.errors import check_checkpoint
from mixmae_mm.utils.safe_io.weights_file import read_file, read_weights

EXAMPLES = int(os.environ.get('EXAMPLES', 60))
MANY = settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None)
WEIGHTS = {'a.weight': torch.arange(6.0).view(2, 3), 'b': torch.ones(2, dtype=torch.float16)}


def pytorchs(content, zipped=True):
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


FILES = {
    'file.pth': pytorchs(dict(state_dict=WEIGHTS, epoch=3)),
    'legacy.pth': pytorchs(dict(state_dict=WEIGHTS, epoch=3), zipped=False),
    'file.safetensors': save(WEIGHTS),
}


def check_same(weights):
    assert weights.keys() == WEIGHTS.keys()
    assert all(torch.equal(x, WEIGHTS[name]) for name, x in weights.items())


@pytest.mark.parametrize('container', [None, 'state_dict', 'model', 'module'])
@pytest.mark.parametrize('zipped', [True, False])
def test_pytorchs_files(tmp_path, container, zipped):
    """mmengine reads within `safe_globals`, which takes types off PyTorch's list at its end; reading puts them back."""
    path = tmp_path / 'file.pth'
    path.write_bytes(pytorchs({container: WEIGHTS, 'epoch': np.int64(3)} if container else WEIGHTS, zipped))
    torch.serialization.clear_safe_globals()
    check_same(read_weights(str(path)))


def test_an_address(tmp_path):
    torch.save(WEIGHTS, tmp_path / 'file.pth')
    with served(tmp_path / 'file.pth') as address:
        check_same(read_weights(address))


# what is refused


def bomb(path):
    """Write an archive like PyTorch's, whose pickle is 300 MB of zeros, compressed a thousandfold."""
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('archive/data.pkl', bytes(300_000_000))


def lying(path):
    """Write an uncompressed archive whose directory claims an entry far larger than the file."""
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('archive/data.pkl', bytes(100))
    content = bytearray(path.read_bytes())
    directory = content.index(b'PK\x01\x02')
    content[directory + 20 : directory + 28] = struct.pack('<II', 1 << 31, 1 << 31)
    path.write_bytes(bytes(content))


def huge_promise(path):
    """Write a pickle of a few bytes that allocates 16 TB."""
    path.write_bytes(b'\x80\x02cbuiltins\nbytearray\n\x8a\x06' + (1 << 44).to_bytes(6, 'little') + b'\x85R.')


BROKEN = {
    'a text file': lambda path: path.write_text('weights: none\n' * 1000),
    'an empty file': lambda path: path.touch(),
    'code': lambda path: torch.save(dict(model=Called(exec, ('raise SystemExit("code was run")',))), path),
    'a bomb': bomb,
    'a lie': lying,
    'a huge promise': huge_promise,
}
REASONS = {'code': r'it asks for exec\.', 'a bomb': r'its \d+ bytes unpack to 300000000;', 'a lie': r'its \d+ bytes'}


@pytest.mark.parametrize('kind', BROKEN)
def test_other_files_are_refused_at_once(tmp_path, kind):
    path = tmp_path / 'file.pth'
    BROKEN[kind](path)
    reason = rf'file.pth cannot be read as weights without running code: {REASONS.get(kind, "")}.*It is not a'
    for read in (read_file, check_checkpoint):
        with pytest.raises(ValueError, match=reason):
            read(str(path))


def test_files_without_weights(tmp_path):
    for content, message in (([1, 2], 'holds a list'), ({'epoch': 3, 4: 5}, r"only \['4', 'epoch'\]")):
        torch.save(content, tmp_path / 'file.pth')
        with pytest.raises(ValueError, match=message):
            read_weights(str(tmp_path / 'file.pth'))
    with pytest.raises(FileNotFoundError, match='there is no checkpoint .*nowhere.pth'):
        read_weights(str(tmp_path / 'nowhere.pth'))


# drawn


@pytest.fixture(scope='module')
def read(tmp_path_factory):
    """Read bytes as a file of this name; return its weights, or None if it is refused."""
    folder = tmp_path_factory.mktemp('broken')

    def read_back(name, content):
        path = folder / name
        path.write_bytes(content)
        try:
            weights = read_weights(str(path))
        except ValueError as error:
            return None if str(error).startswith(f'{path} ') else pytest.fail(f'{error} does not begin with {path}')
        assert weights
        assert all(isinstance(x, torch.Tensor) for x in weights.values())
        assert sum(x.untyped_storage().nbytes() for x in weights.values()) < 1_000_000
        return weights

    return read_back


@pytest.mark.parametrize('name', FILES)
def test_files_cut_off_anywhere(read, name):
    content = FILES[name]
    check_same(read(name, content))
    for length in (*range(0, len(content) - 30, 13), *range(len(content) - 30, len(content))):
        weights = read(name, content[:length])
        whole = weights and all(torch.equal(weights[key], value) for key, value in WEIGHTS.items())
        assert weights is None or whole, f'{length} of {len(content)} bytes'


@MANY
@given(
    st.sampled_from(list(FILES)),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_changed_bytes(read, name, changes):
    content = bytearray(FILES[name])
    for where, byte in changes:
        content[where % len(content)] = byte
    read(name, bytes(content))
