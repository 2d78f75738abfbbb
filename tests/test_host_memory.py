"""What is freed is kept: counted in page faults, by the system itself."""

import os
import platform
import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mixmae_mm import host_memory

STEPS = """
import resource, sys
import torch
from mixmae_mm.host_memory import keep_freed_memory
keeps = keep_freed_memory() if sys.argv[1] == 'keep' else None

def step():
    blocks = [torch.ones(5 * 2**20 // 4 * (1 + i % 3)) for i in range(30)]  # 5, 10 and 15 MB, as activations are

def count():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

counts = []
for _ in range(6):
    before = count()
    step()
    counts.append(count() - before)
print(keeps, min(counts[1:]))  # a system short of memory takes pages away in some steps
"""
HUGE_PAGES = Path('/sys/kernel/mm/transparent_hugepage/enabled')
GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='the C library is not glibc')
SMALL_PAGES = pytest.mark.skipif(
    HUGE_PAGES.is_file() and '[always]' in HUGE_PAGES.read_text(), reason='the system gives huge pages, and few faults'
)


def faults(how, **settings):
    environment = {name: value for name, value in os.environ.items() if name not in host_memory.OWN_SETTINGS}
    command = [sys.executable, '-c', STEPS, how]
    done = subprocess.run(command, env={**environment, **settings}, capture_output=True, text=True, check=True)
    keeps, count = done.stdout.split()
    return keeps, float(count)


@GLIBC
@SMALL_PAGES
def test_a_step_gets_its_memory_without_faults():
    _, without = faults('as it is')
    keeps, kept = faults('keep')
    assert keeps == 'True'
    assert without > 300 * 2**20 / resource.getpagesize() / 16
    assert kept < without / 20


def test_what_the_environment_says_is_left_alone():
    assert faults('keep', MALLOC_TRIM_THRESHOLD_='131072')[0] == 'False'


@pytest.fixture
def unset(monkeypatch):
    for name in host_memory.OWN_SETTINGS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize('taken', [1, 0])
def test_both_thresholds_are_set(monkeypatch, unset, taken):
    calls = []
    library = SimpleNamespace(mallopt=lambda *setting: (calls.append(setting), taken)[1])
    monkeypatch.setattr(host_memory.ctypes, 'CDLL', lambda name: library)
    assert host_memory.keep_freed_memory() is bool(taken)
    assert calls == [(-3, 2**25), (-1, -1)][: 1 + taken]  # of malloc.h: MMAP_THRESHOLD, TRIM_THRESHOLD


def test_another_c_library_is_left_alone(monkeypatch, unset):
    monkeypatch.setattr(host_memory.ctypes, 'CDLL', lambda name: object())
    assert host_memory.keep_freed_memory() is False
