"""Broken checkpoints end in one kind of error that names the file, or in weights; none crashes or hangs.

`EXAMPLES=20000 pytest tests/test_utils/test_broken_weights.py` tries more.
"""

import io
import json
import os
import re
import struct

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from mixmae_mm.utils.errors import check_checkpoint
from mixmae_mm.utils.safe_io.weights_file import read_weights

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


def told(error, path):
    assert str(error).startswith(f'{path} ')


@pytest.fixture(scope='module')
def read(tmp_path_factory):
    """Read bytes as a file of this name; its weights, or None for one that is refused."""
    folder = tmp_path_factory.mktemp('broken')

    def read_back(name, content):
        path = folder / name
        path.write_bytes(content)
        try:
            weights = read_weights(str(path))
        except ValueError as error:
            return told(error, path)
        assert weights
        assert all(isinstance(x, torch.Tensor) for x in weights.values())
        assert sum(x.untyped_storage().nbytes() for x in weights.values()) < 1_000_000
        return weights

    return read_back


@pytest.mark.parametrize('name', FILES)
def test_whole_files_are_read(read, name):
    weights = read(name, FILES[name])
    assert all(torch.equal(weights[key], value) for key, value in WEIGHTS.items())


@pytest.mark.parametrize('name', FILES)
def test_files_cut_off_anywhere(read, name):
    content = FILES[name]
    step = 1 if EXAMPLES > 1000 else 13
    for length in (*range(0, len(content) - 30, step), *range(len(content) - 30, len(content))):
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


def test_a_storage_that_the_list_of_storages_does_not_name(read):
    """PyTorch asserts that there is one; drawn 20,000 times, one example met it."""
    content = FILES['legacy.pth']
    key = re.search(rb'\d{8,}', content)[0]
    last = content.rindex(key)  # in the list at the end
    assert content.index(key) < last
    assert read('legacy.pth', content[:last] + b'0' * len(key) + content[last + len(key) :]) is None


def test_an_archive_on_several_disks(read, tmp_path):
    """Python's zipfile raises where it is only asked whether a file is one."""
    content = bytearray(FILES['file.pth'])
    disks = content.rindex(b'PK\x06\x07') + 16  # of the locator of the 64-bit end record
    content[disks] = 2
    assert read('file.pth', bytes(content)) is None
    (tmp_path / 'file.pth').write_bytes(content)
    with pytest.raises(ValueError, match=r'file\.pth cannot be read as weights without running code'):
        check_checkpoint(str(tmp_path / 'file.pth'))


@MANY
@given(st.sampled_from(list(FILES)), st.integers(0, 400), st.binary(max_size=300))
def test_anything_behind_a_beginning(read, name, length, rest):
    read(name, FILES[name][:length] + rest)


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5)
KEYS = st.text(max_size=9) | st.integers()
NESTS = st.recursive(
    LEAVES,
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(KEYS, inside, max_size=3),
    max_leaves=8,
)


@MANY
@given(NESTS, st.sampled_from([None, 'state_dict', 'model', 'module']), st.booleans())
def test_contents_without_weights(read, nest, container, zipped):
    assert read('file.pth', pytorchs({container: nest} if container else nest, zipped)) is None


@MANY
@given(st.integers(0, 2**64 - 1), st.binary(max_size=100))
def test_safetensors_headers_of_any_length(read, length, rest):
    assert read('file.safetensors', struct.pack('<Q', length) + rest) is None


NUMBERS = st.integers(-1, 2**63)


@MANY
@given(
    st.dictionaries(
        st.text(max_size=5),
        NESTS | st.fixed_dictionaries(dict(
            dtype=st.sampled_from(['F32', 'F16', 'I64', 'F4', 'X', '']), shape=st.lists(NUMBERS, max_size=3),
            data_offsets=st.lists(NUMBERS, max_size=3),
        )),
        max_size=3,
    )
)  # fmt: skip
def test_safetensors_headers_of_any_content(read, header):
    text = json.dumps(header, default=str).encode()
    read('file.safetensors', struct.pack('<Q', len(text)) + text + bytes(16))


@pytest.mark.parametrize('name', ['file.pth', 'legacy.pth'])
def test_the_check_before_a_run_takes_nothing_else(tmp_path, name):
    """It says nothing else than that it is not a checkpoint."""
    path, content = tmp_path / name, FILES[name]
    for length in range(0, len(content), 29):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match='cannot be read as weights without running code'):
            check_checkpoint(str(path))
