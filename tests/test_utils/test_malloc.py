"""What is freed is kept: the C library is set so, and takes it."""

import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest

from mixmae_mm.utils import malloc as host_memory

KEEP = 'from mixmae_mm.utils.malloc import keep_freed_memory; print(keep_freed_memory())'
GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='the C library is not glibc')


@pytest.fixture
def unset(monkeypatch):
    for name in host_memory.OWN_SETTINGS:
        monkeypatch.delenv(name, raising=False)


@GLIBC
@pytest.mark.usefixtures('unset')
def test_glibc_takes_both_settings():
    """In a process of its own, which they would change."""
    done = subprocess.run([sys.executable, '-c', KEEP], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ['True']


@pytest.mark.usefixtures('unset')
@pytest.mark.parametrize('name', host_memory.OWN_SETTINGS)
def test_what_the_environment_says_is_left_alone(monkeypatch, name):
    monkeypatch.setattr(host_memory.ctypes, 'CDLL', lambda name: pytest.fail('set'))
    monkeypatch.setitem(os.environ, name, '131072')
    assert host_memory.keep_freed_memory() is False


@pytest.mark.usefixtures('unset')
@pytest.mark.parametrize('taken', [1, 0])
def test_both_thresholds_are_set(monkeypatch, taken):
    calls = []
    library = SimpleNamespace(mallopt=lambda *setting: (calls.append(setting), taken)[1])
    monkeypatch.setattr(host_memory.ctypes, 'CDLL', lambda name: library)
    assert host_memory.keep_freed_memory() is bool(taken)
    assert calls == [(-3, 2**25), (-1, -1)][: 1 + taken]  # of malloc.h: MMAP_THRESHOLD, TRIM_THRESHOLD


@pytest.mark.usefixtures('unset')
def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(host_memory.ctypes, 'CDLL', lambda name: object())
    assert host_memory.keep_freed_memory() is False
