"""Studies run what is missing, resume after an interruption, and say what came out."""

import io
import json
import os
import shutil
import signal
import time

import pytest
from forked import Program
from rich.console import Console
from tool_loading import load_tool

study = load_tool('analysis_tools/study.py')

SETTINGS = """
_of_the_file = 1
seeds = [0, 1, 2]
options = {'train_cfg.max_epochs': 2, 'gain': 0.0}
runs = dict(
    plain=dict(config='plain.py'),
    better=dict(config='plain.py', options={'gain': 0.1}),
    untrained=dict(encoder='plain.py'),
)
evaluations = dict(knn='--train a --val "b c"')
transfers = dict(tuned=dict(config='tuned.py', metric='accuracy/top1', options={'lr': 1}))
measures = ['knn.top1', 'tuned', 'train.step']
baseline = 'plain'
"""
CONFIG = "train_cfg = dict(max_epochs=9)\nmodel = dict(backbone=dict(init_cfg=dict(checkpoint='x')))\ngain = lr = 0\n"
TRAIN = """
import json, os, pathlib, sys, time
words = sys.argv[1:]
options = dict(word.split('=') for word in words[words.index('--cfg-options') + 1:])
folder = pathlib.Path(words[words.index('--work-dir') + 1])
with open('calls.txt', 'a') as calls:
    print('train', words[0], folder, '--resume' in words, options.get('model.backbone.init_cfg.checkpoint'), file=calls)
if pathlib.Path('hang').exists():
    pathlib.Path(f'hanging{options["randomness.seed"]}').write_text(str(os.getpid()))
    time.sleep(60)
(folder / '1/vis_data').mkdir(parents=True, exist_ok=True)
gain = float(options.get('gain', 0)) + 0.01 * int(options['randomness.seed'])
start = options.get('model.backbone.init_cfg.checkpoint')
top1 = (50 if start is None else float(open(start).read()) * 100)
epochs = int(options.get('train_cfg.max_epochs', 9))
lines = [{'time': 0.3 + i % 3 / 10, 'loss': i, 'topk_precision/block_1': 0.5, 'step': 7} for i in range(12)]
lines[-1]['memory'] = 1  # logged once
lines += [{'accuracy/top1': 1, 'time': 9, 'step': epochs - 1}, {'accuracy/top1': top1, 'time': 9, 'step': epochs}]
lines = lines[:-1] if pathlib.Path('cut').exists() else lines
(folder / '1/vis_data/scalars.json').write_text('\\n'.join(map(json.dumps, lines)))
sys.exit('broken') if pathlib.Path('fail').exists() and 'better' in str(folder) else None
(folder / f'epoch_{epochs}.pth').write_text(str(0.6 + gain))
"""
EVALUATE = """
import json, sys
with open('calls.txt', 'a') as calls:
    print('evaluate', *sys.argv[1:], sep='|', file=calls)
given = [word for word in sys.argv if word.endswith('.pth')]
print('a line of log')
print(json.dumps({'top1': float(open(given[0]).read()) if given else 0.25, 'few': {'5': {'mean': 0.5}}, 'iou': [1]}))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A study of three runs, and tools that only write down what they are called with."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'tools/analysis_tools').mkdir(parents=True)
    (tmp_path / 'tools/train.py').write_text(TRAIN)
    (tmp_path / 'tools/analysis_tools/evaluate.py').write_text(EVALUATE)
    (tmp_path / 'study.py').write_text(SETTINGS)
    for name in ('plain.py', 'tuned.py'):
        (tmp_path / name).write_text(CONFIG)
    monkeypatch.setattr(study, 'TOOLS', tmp_path / 'tools')
    handler = signal.getsignal(signal.SIGTERM)
    yield tmp_path
    assert signal.getsignal(signal.SIGTERM) is handler


def calls(folder):
    file = folder / 'calls.txt'
    lines = file.read_text().splitlines() if file.exists() else []
    file.unlink(missing_ok=True)
    return lines


def table(folder):
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(study.Study(folder / 'study.py').table())
    return {
        line.split('│')[1].strip(): line.split('│')[2:-1] for line in console.export_text().splitlines() if '│' in line
    }


def test_a_study_from_start_to_table(folder):
    study.main([str(folder / 'study.py'), '--jobs', '2'])
    lines = calls(folder)
    runs = 'work_dirs/studies/study'
    assert f'train plain.py {runs}/better/seed2/train True None' in lines
    assert f'train tuned.py {runs}/plain/seed1/tuned True {runs}/plain/seed1/train/epoch_2.pth' in lines
    assert f'train tuned.py {runs}/untrained/seed1/tuned True None' in lines
    checkpoint = f'{runs}/plain/seed0/train/epoch_2.pth'
    assert f'evaluate|plain.py|{checkpoint}|--json|--seed|0|--train|a|--val|b c' in lines
    assert 'evaluate|plain.py|--json|--seed|2|--train|a|--val|b c' in lines
    assert len(lines) == 3 * (3 + 3 + 2)
    found = json.loads((folder / 'study.json').read_text())
    expected = {'knn.top1': 0.71, 'knn.few.5.mean': 0.5, 'tuned': 71.0, 'train.step': 0.4}
    expected |= {'train.loss': 6.5, 'train.topk_precision/block_1': 0.5}  # 2 to 11, the last ten
    assert found['better']['1']['measures'] == pytest.approx(expected)
    assert found['untrained']['0']['measures'] == {'knn.top1': 0.25, 'knn.few.5.mean': 0.5, 'tuned': 50}
    assert '"gain": 0.1' in found['better']['1']['how']['tuned']
    rows = {name: [cell.strip() for cell in cells] for name, cells in table(folder).items()}
    # 0.60, 0.61, 0.62: deviation 0.01; half an interval is 4.303 * 0.01 / sqrt(3)
    assert rows['plain'] == ['0.61 +- 0.025 (3)', '61 +- 2.5 (3)', '0.4 +- 0 (3)']
    assert rows['better'][0] == '0.71 +- 0.025 (3)'
    assert rows['untrained'] == ['0.25 +- 0 (3)', '50 +- 0 (3)', '-']
    assert rows['better - plain'][0].startswith('+0.1 +- ')  # paired: the seeds cancel
    assert float(rows['better - plain'][0].split()[2]) < 1e-10
    assert 'plain - plain' not in rows


def test_what_is_done_is_not_done_again(folder):
    study.main([str(folder / 'study.py')])
    calls(folder)
    shutil.rmtree(folder / 'work_dirs/studies/study/untrained')
    study.main([str(folder / 'study.py')])
    assert calls(folder) == []
    found = json.loads((folder / 'study.json').read_text())
    del found['plain']['2']['how']['tuned']  # as if interrupted
    (folder / 'study.json').write_text(json.dumps(found))
    study.main([str(folder / 'study.py'), '--table'])
    assert calls(folder) == []
    (folder / 'work_dirs/studies/study/plain/seed2/tuned/epoch_9.pth').unlink()
    study.main([str(folder / 'study.py')])
    start = 'work_dirs/studies/study/plain/seed2/train/epoch_2.pth'
    assert calls(folder) == [f'train tuned.py work_dirs/studies/study/plain/seed2/tuned True {start}']


def test_other_settings_make_results_anew(folder):
    study.main([str(folder / 'study.py')])
    calls(folder)
    (folder / 'study.py').write_text(SETTINGS.replace('--train a', '--train z'))
    study.main([str(folder / 'study.py')])
    lines = calls(folder)
    assert len(lines) == 9
    assert all(line.startswith('evaluate') and '--train|z' in line for line in lines)
    (folder / 'study.py').write_text(SETTINGS.replace("'gain': 0.1", "'gain': 0.2"))
    with pytest.raises(SystemExit, match=r'better/seed0/train .*0\.1.*, not .*0\.2.*move it'):
        study.main([str(folder / 'study.py')])
    shutil.rmtree(folder / 'work_dirs/studies/study/better')
    study.main([str(folder / 'study.py')])
    assert json.loads((folder / 'study.json').read_text())['better']['0']['measures']['tuned'] == pytest.approx(80)


def test_a_number_of_an_earlier_validation_is_not_taken(folder):
    (folder / 'cut').touch()
    with pytest.raises(SystemExit, match='tuned ended before its last validation'):
        study.main([str(folder / 'study.py')])
    assert 'tuned' not in json.loads((folder / 'study.json').read_text())['plain']['0']['measures']


def test_one_that_fails_is_named_and_the_others_resume(folder, capsys):
    (folder / 'fail').touch()
    with pytest.raises(SystemExit, match=r'(?s)better/seed0/train\.log.*better/seed2/train\.log'):
        study.main([str(folder / 'study.py')])
    found = json.loads((folder / 'study.json').read_text())
    assert found.keys() == {'plain', 'untrained'}
    assert 'broken' in (folder / 'work_dirs/studies/study/better/seed0/train.log').read_text()
    said = capsys.readouterr().out
    assert 'plain, seed 1: tuned done: tuned 61' in said
    assert 'mean +- half' in said


def test_a_study_that_is_stopped_ends_what_it_started(folder):
    (folder / 'hang').touch()
    (folder / 'study.py').rename(folder / 'mine.py')
    (folder / 'program.py').write_text(
        'import study; from pathlib import Path; study.TOOLS = Path("tools"); study.main(["mine.py"])'
    )
    process = Program(folder / 'program.py', PYTHONPATH=str(study.__file__).rpartition('/')[0])
    deadline, started = time.monotonic() + 60, folder / 'hanging0'
    while not (started.exists() and started.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.process.pid, signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode not in (0, -signal.SIGKILL)  # which it gets where it does not end
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)
    assert len(calls(folder)) <= 2
    assert not (folder / 'mine.json').exists()


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('seeds', 'sedes', 'sedes is unknown to a study'),
        ("dict(config='plain.py')", "dict(confg='plain.py')", 'confg is unknown to runs'),
        ('metric=', 'metrik=', 'metrik is unknown to transfers'),
        ('measures = ', '_x = ', 'measures is missing'),
        ("'knn.top1'", "'kn.top1'", 'measure kn.top1 is of no part'),
        ("baseline = 'plain'", "baseline = 'plane'", 'baseline plane is no run'),
        ('dict(tuned=', 'dict(train=', 'title train must be one word, once'),
    ],
)
def test_settings_that_are_wrong_are_refused(folder, old, new, message):
    (folder / 'study.py').write_text(SETTINGS.replace(old, new))
    with pytest.raises(ValueError, match=message):
        study.Study(folder / 'study.py')
