"""The compiler with precompiled headers: it takes the header, and falls back without one."""

import shutil

import pytest
from tool_loading import load_tool

fast_cxx = load_tool('fast_cxx.py')
NEEDS_THE_HEADER = 'std::uint32_t answer() { return 42; }\n'
pytestmark = pytest.mark.skipif(shutil.which('c++') is None, reason='needs a C++ compiler')


@pytest.fixture
def compile_one(tmp_path, monkeypatch):
    """Compile a source; return the exit status."""
    monkeypatch.setattr(fast_cxx, 'HEADER', '#include <cstdint>\n')
    monkeypatch.delenv('FAST_CXX', raising=False)
    monkeypatch.setenv('FAST_CXX_FOLDER', str(tmp_path / 'headers'))

    def main(name, text, *flags):
        (tmp_path / f'{name}.cpp').write_text(text)
        outputs = '-MMD', '-MF', str(tmp_path / f'{name}.d'), '-o', str(tmp_path / f'{name}.o')
        return fast_cxx.main(['-O2', '-g', *flags, *outputs, '-c', str(tmp_path / f'{name}.cpp')])

    return main


def test_the_header_is_precompiled_once_for_each_set_of_flags(compile_one, tmp_path):
    assert [compile_one('a', NEEDS_THE_HEADER), compile_one('b', NEEDS_THE_HEADER)] == [0, 0]
    assert len(list(tmp_path.glob('headers/*/precompiled.h.gch'))) == 1
    assert compile_one('c', NEEDS_THE_HEADER, '-DNAME=1') == 0
    assert len(list(tmp_path.glob('headers/*/precompiled.h.gch'))) == 2


@pytest.mark.parametrize('header', ['#error broken\n', 'int answer();\n'], ids=['broken', 'in the way'])
def test_what_does_not_compile_with_the_header_is_compiled_as_usual(compile_one, monkeypatch, header):
    monkeypatch.setattr(fast_cxx, 'HEADER', header)
    assert compile_one('a', 'long answer() { return 42; }\n') == 0
    assert compile_one('b', NEEDS_THE_HEADER) != 0


def test_cpp17_is_compiled_as_cpp20_which_newer_torch_wants(compile_one):
    concept = 'template <typename T> concept Any = true;\n'
    assert compile_one('a', concept, '-std=c++17') == 0
    assert compile_one('b', concept, '-std=c++14') != 0
