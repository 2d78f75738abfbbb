"""Files that exist completely or not at all."""

import errno
import os

import pytest
import torch
from forked import Program
from micro_training import finish
from mmengine.runner import save_checkpoint

from mixmae_mm.utils.atomic_write import atomic_write
from mixmae_mm.utils.safe_io.checksum import MARK
from mixmae_mm.utils.safe_io.safe_saving import write_archive


@pytest.mark.parametrize('before', [None, b'old'])
def test_a_file_appears_when_it_is_whole(tmp_path, before):
    path = tmp_path / 'file'
    if before:
        path.write_bytes(before)
    with atomic_write(path) as file:
        file.write(b'new')
        file.flush()
        assert (path.read_bytes() if path.exists() else None) == before
    assert path.read_bytes() == b'new'
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize('error', [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyError('other')])
def test_what_was_there_stays_when_writing_fails(tmp_path, error):
    path = tmp_path / 'file'
    path.write_bytes(b'old')

    with pytest.raises(type(error)) as caught, atomic_write(path):
        raise error
    assert path.read_bytes() == b'old'
    assert list(tmp_path.iterdir()) == [path]
    if isinstance(error, OSError):
        assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))


FULL = """
import resource, sys, torch
from mixmae_mm.utils.safe_io import safe_saving
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))  # writing more fails, as on a full disk
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
safe_saving.save_checkpoint(dict(weight=torch.zeros(3_000_000)), sys.argv[1])
"""


def test_a_checkpoint_that_does_not_fit_leaves_the_last_one(tmp_path):
    path = tmp_path / 'folder' / 'epoch_1.pth'
    path.parent.mkdir()
    path.write_bytes(b'whole')
    (tmp_path / 'full.py').write_text(FULL)
    _, err = finish(Program(tmp_path / 'full.py', path), status=1)
    assert 'File too large (any previous file is unchanged)' in err
    assert path.read_bytes() == b'whole'
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize('error', [KeyboardInterrupt, OSError(errno.EIO, 'broken')])
def test_what_stopped_the_writing_of_weights_is_raised(tmp_path, error):
    """PyTorch's writer raises a RuntimeError after it, which is replaced; a RuntimeError with another cause is not."""

    class Broken:
        written = 0

        def write(self, content):
            self.written += len(content)
            if self.written > 1000:
                raise error
            return len(content)

    with pytest.raises(error if isinstance(error, type) else OSError):
        write_archive(dict(weight=torch.zeros(9999)), Broken())
    try:
        raise OSError('before')
    except OSError:
        with pytest.raises(RuntimeError, match='of its own'):
            write_archive(Refused(), tmp_path / 'file')


class Refused:
    """An object that cannot be pickled."""

    def __reduce__(self):
        raise RuntimeError('of its own')


def test_mmengine_writes_all_files_here_with_a_checksum(tmp_path):
    save_checkpoint(dict(weight=torch.zeros(9)), str(tmp_path / 'one.pth'))
    assert MARK in (tmp_path / 'one.pth').read_bytes()


def test_a_folder_that_cannot_be_synced_is_no_reason_to_stop(tmp_path, monkeypatch):
    """Network shares may not support it; the file itself must be synced."""
    real = os.fsync

    def fsync(descriptor):
        if os.path.isdir(os.readlink(f'/proc/self/fd/{descriptor}')):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        real(descriptor)

    monkeypatch.setattr(os, 'fsync', fsync)
    with atomic_write(tmp_path / 'file') as file:
        file.write(b'content')
    assert (tmp_path / 'file').read_bytes() == b'content'


def test_the_order_is_content_then_name(tmp_path, monkeypatch):
    """Power may fail between any two calls, so the content must be on the disk before it gets its name."""
    calls = []
    real = os.fsync, os.replace

    def fsync(descriptor):
        calls.append(('fsync', os.path.basename(os.readlink(f'/proc/self/fd/{descriptor}'))))
        real[0](descriptor)

    def replace(source, target):
        calls.append(('replace', os.path.basename(source), os.path.basename(target)))
        real[1](source, target)

    monkeypatch.setattr(os, 'fsync', fsync)
    monkeypatch.setattr(os, 'replace', replace)
    with atomic_write(tmp_path / 'file') as file:
        file.write(b'content')
    unfinished = 'file.unfinished'
    assert calls == [('fsync', unfinished), ('replace', unfinished, 'file'), ('fsync', tmp_path.name)]
