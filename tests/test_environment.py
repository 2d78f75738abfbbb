import importlib.util
import os
import shutil
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location('environment', ROOT / 'tools' / 'environment.py')
environment = importlib.util.module_from_spec(spec)
spec.loader.exec_module(environment)


@pytest.fixture
def clone(tmp_path):
    root = tmp_path / 'clone'
    shutil.copytree(ROOT / 'requirements', root / 'requirements')
    (root / 'mixmae_mm').mkdir()
    for name in ('setup.py', 'pyproject.toml', 'mixmae_mm/version.py'):
        shutil.copy(ROOT / name, root / name)
    return root


@pytest.fixture
def calls(monkeypatch):
    """Record the commands instead of running them; a venv is made by linking this interpreter, a wheel by hand."""
    recorded = []

    def run(command, what, *_, **__):
        words = [str(word) for word in command]
        recorded.append(' '.join(words))
        if 'venv' in words:
            shutil.rmtree(words[-1], ignore_errors=True)
            link_interpreter(Path(words[-1]))
        if 'wheel' in words:
            make_wheel(Path(words[words.index('-w') + 1]) / 'onedl_mmcv-2.3.6-cp311-cp311-linux_x86_64.whl')

    monkeypatch.setattr(environment, 'run', run)
    return recorded


def link_interpreter(venv):
    (venv / 'bin').mkdir(parents=True)
    script = venv / 'bin' / 'python'
    script.write_text(
        f'#!/bin/sh\ncase "$*" in *BUILD*|*torch.__version__*) echo cp311-torch2.13.0+cpu;; '
        f'*mmcv.ops*) ;; *) exec {sys.executable} "$@";; esac\n'
    )
    script.chmod(0o755)


def make_wheel(path, member='mmcv/_ext.cpython-311-x86_64-linux-gnu.so'):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr(member, os.urandom(10000))


def made(clone):
    return environment.Environment(clone, clone.parent / 'cache')


def pips(calls):
    return [call.partition(' -m pip ')[2] for call in calls if ' -m pip ' in call]


# stamps


def test_second_call_does_nothing_nor_light_after_full(clone, calls):
    made(clone).set_up('full')
    calls.clear()
    made(clone).set_up('full')
    made(clone).set_up('light')
    assert calls == []


def test_upstream_has_an_environment_of_its_own_and_compiles_nothing(clone, calls):
    made(clone).set_up('full')
    calls.clear()
    upstream = environment.Environment(clone, clone.parent / 'cache', '.venv-upstream')
    upstream.set_up('upstream')
    assert upstream.pending('upstream') == made(clone).pending('full') == []
    assert all(str(clone / '.venv-upstream') in call for call in calls)
    assert not any('mminstall.txt' in call.partition(' -r ')[2] for call in pips(calls))
    (step,) = [step for step in environment.STEPS if step.name == 'upstream']
    assert step.env == {'MMCV_WITH_OPS': '0'}
    assert '--no-build-isolation' in step.arguments


def test_another_torch_has_an_environment_of_its_own_with_open_pins(clone, calls):
    made(clone).set_up('full')
    calls.clear()
    other = environment.Environment(clone, clone.parent / 'cache', torch='2.14.1')
    other.set_up('full')
    assert other.pending('full') == made(clone).pending('full') == []
    assert all(str(clone / '.venv-torch2.14.1') in call for call in calls)
    assert not any(' requirements/' in call for call in calls)
    written = {path.name: path.read_text() for path in (clone / '.venv-torch2.14.1/requirements').iterdir()}
    assert written.keys() == {f'{name}.txt' for name in ['runtime', 'mminstall', 'dense', 'tests', 'extras', 'docs']}
    assert '\ntorch==2.14.1\ntorchvision\nnumpy>=' in written['runtime.txt']
    kept = {line.partition('==')[0] for text in written.values() for line in text.splitlines() if '==' in line}
    openmmlab = {f'onedl-{name}' for name in ['mmengine', 'mmcv', 'mmpretrain', 'mmdetection', 'mmsegmentation']}
    assert kept == {'torch', 'setuptools', 'pymdown-extensions'} | openmmlab


@pytest.mark.parametrize(
    ('changed', 'steps'),
    [
        ('requirements/runtime.txt', ['torch', 'openmmlab', 'ops', 'dense', 'tests']),
        ('requirements/mminstall.txt', ['openmmlab', 'ops', 'dense']),
        ('setup.py', ['project']),
    ],
)
def test_changed_file_repeats_the_steps_that_depend_on_it(clone, calls, changed, steps):
    made(clone).set_up('full')
    with (clone / changed).open('a') as file:
        file.write('# changed\n')
    assert [step.name for step in made(clone).pending('full')] == steps


def test_failed_step_leaves_no_stamp_and_the_next_call_resumes_from_it(clone, calls, monkeypatch):
    def fail(self, what, *_, **__):
        if 'mmpretrain' in what:
            raise environment.StepError('no network')

    with monkeypatch.context() as patch:
        patch.setattr(environment.Environment, 'pip', fail)
        with pytest.raises(environment.StepError, match='no network'):
            made(clone).set_up('light')
    assert [step.name for step in made(clone).pending('light')] == ['openmmlab', 'project']
    made(clone).set_up('light')
    assert made(clone).pending('light') == []


# what an interrupted call leaves


@pytest.mark.parametrize('text', [None, '#!/bin/sh\nexit 1\n'], ids=['no python', 'no pip'])
def test_half_made_venv_is_made_anew(clone, calls, text, capsys):
    made(clone).set_up('light')
    python = clone / '.venv/bin/python'
    python.write_text(text) if text else python.unlink()
    made(clone).set_up('light')
    assert 'is half-made (no working python or pip in it): recreating it' in capsys.readouterr().out
    assert made(clone).pending('light') == []


def test_environment_of_another_python_is_made_anew_and_a_linked_one_left_alone(clone, calls, capsys, monkeypatch):
    made(clone).set_up('light')
    (clone / '.venv').rename(clone / 'elsewhere')
    (clone / '.venv').symlink_to('elsewhere')
    assert made(clone).pending('light') == []
    monkeypatch.setattr(environment, 'CURRENT', '3.99')
    made(clone).set_up('light')
    assert f'is of Python {made(clone).version}: recreating it' in capsys.readouterr().out
    assert not (clone / '.venv').is_symlink()
    assert (clone / 'elsewhere/bin/python').exists()


def test_half_installed_package_is_installed_again(clone, calls, capsys):
    made(clone).set_up('light')
    half = clone / f'.venv/lib/python{made(clone).version}/site-packages/torch-1.0.dist-info'
    half.mkdir(parents=True)
    calls.clear()
    made(clone).set_up('full')
    assert 'torch-1.0 is half-installed' in capsys.readouterr().out
    assert not half.exists()
    assert sum('-r requirements/runtime.txt' in call for call in pips(calls)) == 1
    assert made(clone).pending('full') == []


# the wheel with compiled ops


@pytest.fixture
def kept(tmp_path):
    return tmp_path / 'cache' / 'wheels' / 'onedl-mmcv-2.3.6-cp311-torch2.13.0+cpu'


def builds(calls):
    return [call for call in pips(calls) if call.startswith('wheel')]


def test_wheel_is_compiled_once_for_all_clones(clone, calls, kept):
    made(clone).set_up('full')
    assert len(builds(calls)) == 1
    assert '--no-build-isolation --no-deps --no-cache-dir' in builds(calls)[0]
    assert [path.name for path in kept.iterdir()] == ['onedl_mmcv-2.3.6-cp311-cp311-linux_x86_64.whl']
    other = clone.with_name('other')
    shutil.copytree(clone, other, ignore=shutil.ignore_patterns('.venv'))
    made(other).set_up('full')
    assert len(builds(calls)) == 1


def half(wheel):
    wheel.write_bytes(wheel.read_bytes()[:5000])


def without_ops(wheel):
    make_wheel(wheel, 'mmcv/__init__.py')


@pytest.mark.parametrize('damage', [half, without_ops, None])
def test_corrupt_wheel_is_compiled_anew(clone, calls, kept, damage, capsys, monkeypatch):
    wheel = kept / 'onedl_mmcv-2.3.6-cp311-cp311-linux_x86_64.whl'
    make_wheel(wheel)
    assert environment.has_ops(wheel)
    if damage:
        damage(wheel)
    else:  # a whole one, whose ops do not load
        answers = iter([False, True])
        monkeypatch.setattr(environment.Environment, 'try_ops', lambda self, wheel: next(answers))
    made(clone).set_up('full')
    assert 'rebuilding it' in capsys.readouterr().out
    assert len(builds(calls)) == 1
    assert list(kept.iterdir()) == [wheel]
    assert environment.has_ops(wheel)


@pytest.mark.parametrize('version', ['g++ 13', 'Debian clang version 16', 'icpx', None])
def test_gcc_and_clang_compile_with_precompiled_headers(clone, calls, tmp_path, monkeypatch, version):
    compiler = tmp_path / 'compiler'
    monkeypatch.setenv('CXX', str(compiler))
    if version is None:
        with pytest.raises(environment.StepError, match=r'no C\+\+ compiler \(.*compiler\) found'):
            made(clone).set_up('full')
    else:
        compiler.write_text(f'#!/bin/sh\nprintf "%s" "{version}"\n')
        compiler.chmod(0o755)
        expected = dict(CXX=str(ROOT / 'tools/fast_cxx.py'), FAST_CXX=str(compiler), FAST_CXX_FOLDER=str(tmp_path))
        assert environment.fast_compiler(tmp_path) == ({} if version == 'icpx' else expected)


# running commands


def test_failure_shows_the_last_forty_lines():
    with pytest.raises(environment.StepError) as error:
        environment.run([sys.executable, '-c', 'for n in range(60): print("line", n)\nraise SystemExit(3)'], 'a step')
    lines = str(error.value).splitlines()
    assert (lines[0], lines[39]) == ('line 20', 'line 59')
    assert 'failed (exit status 3)' in lines[-2] + lines[-1]
