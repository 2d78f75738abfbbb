"""What is freed is kept: the C library is set so, and takes it."""

import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest

from mixmae_mm.utils import malloc

KEEP = 'from mixmae_mm.utils.malloc import keep_freed_memory; print(keep_freed_memory())'


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    for name in malloc.OWN_SETTINGS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='the C library is not glibc')
def test_glibc_takes_both_settings():
    """In a process of its own, which they would change."""
    done = subprocess.run([sys.executable, '-c', KEEP], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ['True']


@pytest.mark.parametrize('name', malloc.OWN_SETTINGS)
def test_what_the_environment_says_is_left_alone(monkeypatch, name):
    monkeypatch.setattr(malloc.ctypes, 'CDLL', lambda name: pytest.fail('set'))
    monkeypatch.setitem(os.environ, name, '131072')
    assert malloc.keep_freed_memory() is False


@pytest.mark.parametrize('taken', [1, 0])
def test_both_thresholds_are_set(monkeypatch, taken):
    calls = []
    library = SimpleNamespace(mallopt=lambda *setting: (calls.append(setting), taken)[1])
    monkeypatch.setattr(malloc.ctypes, 'CDLL', lambda name: library)
    assert malloc.keep_freed_memory() is bool(taken)
    assert calls == [(-3, 2**25), (-1, -1)][: 1 + taken]  # of malloc.h: MMAP_THRESHOLD, TRIM_THRESHOLD
