"""Weights read from files: each kind that can be, and each that must not, with its reason."""

import struct
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mixmae_mm.utils.safe_io.weights_file import read_file, read_weights

WEIGHTS = {'a.weight': torch.arange(6.0).view(2, 3), 'b': torch.ones(2)}


def check_same(weights):
    assert weights.keys() == WEIGHTS.keys()
    assert all(torch.equal(x, WEIGHTS[name]) for name, x in weights.items())


@pytest.mark.parametrize('container', [None, 'state_dict', 'model', 'module'])
@pytest.mark.parametrize('zipped', [True, False])
def test_pytorchs_files(tmp_path, container, zipped):
    path = tmp_path / 'file.pth'
    torch.save({container: WEIGHTS, 'epoch': 3} if container else WEIGHTS, path, _use_new_zipfile_serialization=zipped)
    check_same(read_weights(str(path)))


def test_safetensors(tmp_path):
    save_file(WEIGHTS, tmp_path / 'file.safetensors')
    check_same(read_weights(str(tmp_path / 'file.safetensors')))


def test_harmless_types_are_read_whatever_was_allowed_before(tmp_path):
    """Reading within `safe_globals`, as mmengine does, takes what it names off PyTorch's list when it ends."""
    torch.save(dict(model=WEIGHTS, epoch=np.int64(3)), tmp_path / 'file.pth')
    torch.serialization.clear_safe_globals()
    check_same(read_weights(str(tmp_path / 'file.pth')))


class Attack:
    def __reduce__(self):
        return exec, ('raise SystemExit("code was run")',)


def half(path):
    torch.save(dict(model={'x': torch.zeros(50_000)}), path)
    path.write_bytes(path.read_bytes()[:100_000])


def bomb(path, size):
    """An archive as PyTorch writes, whose pickle is zeros without end, compressed a thousandfold."""
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('archive/data.pkl', bytes(size))
        archive.writestr('archive/version', '3')


def lying(path):
    """An uncompressed archive whose directory says that an entry is far larger than the file."""
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('archive/data.pkl', bytes(100))
    content = bytearray(path.read_bytes())
    directory = content.index(b'PK\x01\x02')
    content[directory + 20 : directory + 28] = struct.pack('<II', 1 << 31, 1 << 31)
    path.write_bytes(bytes(content))


def huge_promise(path):
    """A pickle of a few bytes that asks for 16 TB."""
    path.write_bytes(b'\x80\x02cbuiltins\nbytearray\n\x8a\x06' + (1 << 44).to_bytes(6, 'little') + b'\x85R.')


BROKEN = {
    'half a file': half,
    'a text file': lambda path: path.write_text('weights: none\n' * 1000),
    'an empty file': lambda path: path.write_bytes(b''),
    'code': lambda path: torch.save(dict(model=Attack()), path),
    'code, not zipped': lambda path: torch.save(dict(model=Attack()), path, _use_new_zipfile_serialization=False),
    'a bomb': lambda path: bomb(path, 300_000_000),
    'a lie': lying,
    'a huge promise': huge_promise,
    'an image': lambda path: path.write_bytes(b'\xff\xd8\xff\xe0' + bytes(1000)),
}


@pytest.mark.parametrize('kind', BROKEN)
def test_other_files_are_refused_at_once(tmp_path, kind):
    path = tmp_path / 'file.pth'
    BROKEN[kind](path)
    with pytest.raises(ValueError, match=r'file.pth cannot be read as weights without running code: .*It is not a ch'):
        read_file(str(path))


def test_what_a_file_asks_for_is_named(tmp_path):
    torch.save(dict(model=Attack()), tmp_path / 'file.pth')
    with pytest.raises(ValueError, match=r'without running code: it asks for exec\. It is not a checkpoint'):
        read_file(str(tmp_path / 'file.pth'))


def test_a_bomb_is_named(tmp_path):
    bomb(tmp_path / 'file.pth', 1_000_000)
    with pytest.raises(ValueError, match=r'its \d{4} bytes unpack to 1000001; PyTorch does not compress its files'):
        read_file(str(tmp_path / 'file.pth'))


def compressed(path):
    """An archive of random bytes, compressed to a little more than they are."""
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('archive/data.pkl', np.random.default_rng(0).bytes(1000))


@pytest.mark.parametrize('make', [compressed, lying])
def test_each_sign_of_a_bomb_alone_is_refused_before_pytorch_reads(tmp_path, monkeypatch, make):
    """Compressed, though no larger inside than outside; or not compressed, though it claims to be larger inside."""
    make(tmp_path / 'file.pth')
    monkeypatch.setattr(torch, 'load', lambda *args, **settings: pytest.fail('was read'))
    with pytest.raises(ValueError, match=r'its \d+ bytes unpack to \d+; PyTorch does not compress its files'):
        read_file(str(tmp_path / 'file.pth'))


def test_a_broken_safetensors_file(tmp_path):
    (tmp_path / 'file.safetensors').write_bytes(b'\xff' * 100)
    with pytest.raises(ValueError, match='file.safetensors cannot be read as weights'):
        read_file(str(tmp_path / 'file.safetensors'))


@pytest.mark.parametrize(
    ('content', 'message'),
    [([1, 2], 'holds a list, not weights by name'), ({'epoch': 3, 4: 5}, r"holds no weights, only \['4', 'epoch'\]")],
)
def test_files_without_weights(tmp_path, content, message):
    torch.save(content, tmp_path / 'file.pth')
    with pytest.raises(ValueError, match=message):
        read_weights(str(tmp_path / 'file.pth'))


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match='there is no checkpoint .*nowhere.pth'):
        read_weights(str(tmp_path / 'nowhere.pth'))


def test_an_address(tmp_path, monkeypatch):
    monkeypatch.setenv('no_proxy', '*')
    torch.save(WEIGHTS, tmp_path / 'file.pth')
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        check_same(read_weights(f'http://127.0.0.1:{server.server_port}/file.pth'))
        server.shutdown()
