"""The compiler with precompiled headers: what it calls, and what it falls back to."""

import json
import shutil
import subprocess
import sys

import pytest
from tool_loading import load_tool

fast_cxx = load_tool('fast_cxx.py')
FLAGS = ['-O3', '-g', '-fPIC', '-I', 'somewhere', '-std=c++17', '-DNAME=1']
FAKE = """
import json, os, sys
from pathlib import Path
words = sys.argv[1:]
with open(os.environ['CALLS'], 'a') as file:
    print(json.dumps(words), file=file)
fails = os.environ.get('FAILS')
sys.exit(3 if fails and fails in words else 0)
"""


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """A compiler that writes down how it is called, and fails where a word is that the test names."""
    (tmp_path / 'fake.py').write_text(FAKE)
    monkeypatch.setenv('FAST_CXX', f'{sys.executable} {tmp_path}/fake.py')
    monkeypatch.setenv('FAST_CXX_FOLDER', str(tmp_path / 'headers'))
    monkeypatch.setenv('CALLS', str(tmp_path / 'calls'))
    return lambda: [json.loads(line) for line in (tmp_path / 'calls').read_text().splitlines()]


def compile_one(name):
    return fast_cxx.main([*FLAGS, '-MMD', '-MF', f'{name}.d', '-c', f'{name}.cpp', '-o', f'{name}.o'])


def test_the_header_is_precompiled_once_with_the_flags_of_the_sources(compiler):
    assert [compile_one('a'), compile_one('b')] == [0, 0]
    header, *sources = compiler()
    path = header[-3]
    flags = [flag for flag in FLAGS if flag != '-g']
    assert header == [*flags, '-g0', '-x', 'c++-header', path, '-o', f'{path}.gch']
    for name, words in zip('ab', sources, strict=True):
        assert words[:-3] == [*FLAGS, '-MMD', '-MF', f'{name}.d', '-c', f'{name}.cpp', '-o', f'{name}.o']
        assert words[-3:] == ['-g0', '-include', path]


@pytest.mark.parametrize(
    ('fails', 'status', 'included'),
    [('c++-header', 0, [False, False]), ('-include', 0, [True, False]), ('a.cpp', 3, [True, False])],
)
def test_what_does_not_compile_with_the_header_is_compiled_as_usual(compiler, monkeypatch, fails, status, included):
    monkeypatch.setenv('FAILS', fails)
    assert compile_one('a') == status
    sources = ['-include' in words for words in compiler() if 'c++-header' not in words]
    assert sources == (included if fails != 'c++-header' else [False])


@pytest.mark.parametrize('words', [['-shared', 'a.o', 'b.o', '-o', 'c.so'], ['--version'], ['a.cpp', '-o', 'a']])
def test_anything_else_is_handed_on(compiler, words):
    assert fast_cxx.main(words) == 0
    assert compiler() == [words]


@pytest.mark.skipif(shutil.which('c++') is None, reason='needs a C++ compiler')
def test_a_real_compiler_takes_the_header(tmp_path, monkeypatch):
    """The source includes nothing: it compiles only with the header."""
    monkeypatch.setattr(fast_cxx, 'HEADER', '#include <cstdint>\n')
    monkeypatch.delenv('FAST_CXX', raising=False)
    monkeypatch.setenv('FAST_CXX_FOLDER', str(tmp_path / 'headers'))
    (tmp_path / 'a.cpp').write_text('std::uint32_t answer() { return 42; }\n')
    assert fast_cxx.main(['-O2', '-g', '-c', str(tmp_path / 'a.cpp'), '-o', str(tmp_path / 'a.o')]) == 0
    assert len(list(tmp_path.glob('headers/*/precompiled.h.gch'))) == 1
    assert subprocess.run(['c++', '-c', tmp_path / 'a.cpp', '-o', tmp_path / 'b.o'], capture_output=True).returncode
