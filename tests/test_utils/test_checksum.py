"""Checkpoints are verified: any flipped bit is found before anything is loaded, and no intact file is rejected."""

import contextlib
import io
import zipfile

import pytest
import torch
from micro_training import finish, make_config, tool

from mixmae_mm.utils.safe_io.checksum import MARK, add_checksum, check_sum, checked_write
from mixmae_mm.utils.safe_io.weights_file import read_file

TAIL = 2 + len(MARK) + 64
"""Bytes behind those that the checksum is of."""


def packed(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


@pytest.fixture
def content():
    torch.manual_seed(0)
    return dict(state_dict=dict(weight=torch.randn(40, 30)), meta=dict(epoch=3, cfg='x = 1'))


@pytest.fixture
def file(content, tmp_path):
    with checked_write(tmp_path / 'epoch_1.pth') as file:
        torch.save(content, file)
    return tmp_path / 'epoch_1.pth'


def test_other_readers_pass_over_it(content, file):
    plain = packed(content)
    written = file.read_bytes()
    assert written[: len(plain) - 2] == plain[:-2]
    assert zipfile.ZipFile(file).testzip() is None
    for mmap in (True, False):
        loaded = torch.load(file, weights_only=True, mmap=mmap)
        assert torch.equal(loaded['state_dict']['weight'], content['state_dict']['weight'])
        assert loaded['meta'] == content['meta']
    check_sum(file)


def test_any_flipped_bit_is_found(content, file):
    """Try every 37th byte and all of the last ones; only flips in the checksum's mark or length go unnoticed."""
    written, unharmed = file.read_bytes(), 0
    places = [*range(0, len(written), 37), *range(len(written) - 130, len(written))]
    for place in dict.fromkeys(places):
        damaged = bytearray(written)
        damaged[place] ^= 1 << place % 8
        file.write_bytes(damaged)
        if place < len(written) - TAIL or place >= len(written) - 64:
            with pytest.raises(ValueError, match='epoch_1.pth is damaged'):
                read_file(str(file))
            continue
        with contextlib.suppress(ValueError):
            unharmed += torch.equal(read_file(str(file))['state_dict']['weight'], content['state_dict']['weight'])
    assert 0 < unharmed <= TAIL - 64


def test_files_of_others_have_none(content, tmp_path):
    (tmp_path / 'theirs.pth').write_bytes(packed(content))
    (tmp_path / 'empty').touch()
    for name in ('theirs.pth', 'empty'):
        assert MARK not in (tmp_path / name).read_bytes()
        check_sum(tmp_path / name)


@pytest.mark.slow
def test_it_can_be_left_out(tmp_path, monkeypatch):
    file = tmp_path / 'x.pth'
    torch.save(dict(weight=torch.arange(99.0)), file)
    add_checksum(file)
    content = bytearray(file.read_bytes())
    content[content.index(torch.arange(99.0).numpy().tobytes())] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match='damaged'):
        check_sum(file)
    monkeypatch.setenv('MIXMAE_MM_CHECKSUM', '0')
    check_sum(file)


def test_a_file_that_is_written_already_gets_the_same(tmp_path):
    paths = [tmp_path / 'one.pth', tmp_path / 'other.pth']
    torch.save(dict(weight=torch.arange(99.0)), paths[0])
    with checked_write(paths[1]) as file:
        file.write(paths[0].read_bytes())
    for _ in range(2):  # once
        add_checksum(paths[0])
        assert paths[0].read_bytes() == paths[1].read_bytes()
    for content in (b'', b'short', bytes(99)):
        paths[0].write_bytes(content)
        add_checksum(paths[0])
        assert paths[0].read_bytes() == content


def test_a_run_resumes_from_the_newest_sound_checkpoint(tmp_path):
    config, here = make_config(tmp_path), ['--work-dir', tmp_path / 'run']
    finish(tool('train.py', config, *here))
    last = tmp_path / 'run/epoch_3.pth'
    damaged = bytearray(last.read_bytes())
    damaged[len(damaged) // 2] ^= 16
    last.write_bytes(damaged)
    out, err = finish(tool('train.py', config, *here, '--resume'))
    assert 'epoch_3.pth is damaged' in out + err
    assert 'looking for an earlier one' in out + err
    assert f'Load checkpoint from {tmp_path}/run/epoch_2.pth' in out
    check_sum(last)  # written anew
