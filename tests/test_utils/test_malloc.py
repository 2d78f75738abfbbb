"""What is freed is kept: the C library is set so, and takes it."""

import platform
import subprocess
import sys

import pytest

from mixmae_mm.utils import malloc

KEEP = """
import ctypes
from mixmae_mm.utils.malloc import keep_freed_memory
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
def held():
    return int(next(line for line in open('/proc/self/status') if line.startswith('VmRSS')).split()[1]) // 1024
print(keep_freed_memory())
before, block = held(), libc.malloc(24 * 2**20)
ctypes.memset(block, 1, 24 * 2**20)
libc.free(block)
print(held() - before > 12)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='the C library is not glibc')
@pytest.mark.parametrize('name', [None, *malloc.OWN_SETTINGS])
def test_glibc_takes_both_settings_unless_the_environment_has_its_own(monkeypatch, name):
    """In a process of its own, which they would change."""
    for each in malloc.OWN_SETTINGS:
        monkeypatch.delenv(each, raising=False)
    if name:
        monkeypatch.setenv(name, '' if name == 'GLIBC_TUNABLES' else '131072')
    done = subprocess.run([sys.executable, '-c', KEEP], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(name is None)] * 2
