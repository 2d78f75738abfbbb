"""What is freed is kept: counted in page faults, by the system itself."""

import ctypes
import subprocess
import sys

import pytest

from mixmae_mm import host_memory

STEPS = """
import resource, sys
import torch
from mixmae_mm.host_memory import keep_freed_memory
keeps = keep_freed_memory() if sys.argv[1] == 'keep' else None

def step():
    blocks = [torch.ones(5 * 2**20 // 4 * (1 + i % 3)) for i in range(30)]  # 5, 10 and 15 MB, as activations are

step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    step()
print(keeps, (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 3)
"""
GLIBC = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), 'gnu_get_libc_version'), reason='the C library is not glibc')


def faults(how):
    done = subprocess.run([sys.executable, '-c', STEPS, how], capture_output=True, text=True, check=True)
    keeps, count = done.stdout.split()
    return keeps, float(count)


@GLIBC
def test_a_step_gets_its_memory_without_faults():
    _, without = faults('as it is')
    keeps, kept = faults('keep')
    assert keeps == 'True'
    assert without > 5000  # 300 MB a step, pages of 4 kB
    assert kept < without / 20


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(host_memory.ctypes, 'CDLL', lambda name: object())
    assert host_memory.keep_freed_memory() is False
