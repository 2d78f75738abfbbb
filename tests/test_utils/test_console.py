"""What the console shows, character by character, and what only the log gets."""

import io
import logging
import re
import sys
import uuid
import warnings
from functools import partial
from logging.handlers import MemoryHandler

import pytest
from mmengine.logging import MMLogger

from mixmae_mm.utils import console as module
from mixmae_mm.utils.console import MOST, Console, OneLine, Printed, from_library
from mixmae_mm.utils.errors import readable_errors


class Terminal(io.StringIO):
    """Standard output of a terminal."""

    def isatty(self):
        return True


class Kept(logging.Handler):
    """A log in memory."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that the test sets, for a terminal of 20 columns."""
    now = [0.0]
    monkeypatch.setattr(module.time, 'monotonic', lambda: now[0])
    monkeypatch.setenv('COLUMNS', '20')
    monkeypatch.delenv('TERM', raising=False)
    return now


def called_by(place, function, *arguments):
    """Call a function from code that seems to be in the file `place`, in a module of its name."""
    name = place.rpartition('/')[-1].removesuffix('.py')
    scope = dict(__name__=name, function=function, arguments=arguments)
    exec(compile('result = function(*arguments)', place, 'exec'), scope)
    return scope['result']


def test_the_line_of_progress_is_rewritten_in_place_below_what_is_printed(clock):
    stream = Terminal()
    console = Console(stream, Kept())
    printed = Printed(stream, console)
    for step in range(4):
        console.progress(f'step {step} of a long run of many')
        clock[0] += 0.06  # every second step comes before a tenth of a second is over
    assert stream.getvalue() == '\rstep 0 of a long ru\x1b[K\rstep 2 of a long ru\x1b[K'
    stream.truncate(0)
    print('one', 'two', file=printed)
    clock[0] += 1
    console.progress('step 4')
    assert stream.getvalue().lstrip('\0') == '\r\x1b[Kone two\n\rstep 4\x1b[K'
    stream.truncate(0)
    print('half', end='', file=printed)
    console.progress('step 5', last=True)
    console.say('end')
    assert stream.getvalue().lstrip('\0') == '\r\x1b[Khalf\n\rstep 5\x1b[K\nend\n'


def test_errors_are_written_where_the_line_was(clock):
    stream, errors = Terminal(), io.StringIO()
    console = Console(stream, Kept())
    console.progress('step 1')
    print('error: it broke', file=Printed(errors, console))
    assert (stream.getvalue(), errors.getvalue()) == ('\rstep 1\x1b[K\r\x1b[K', 'error: it broke\n')


@pytest.mark.parametrize('terminal', [None, 'dumb'])
def test_elsewhere_there_is_a_line_every_twenty_seconds_the_first_and_the_last(clock, terminal, monkeypatch):
    stream = Terminal() if terminal else io.StringIO()
    monkeypatch.setenv('TERM', terminal or 'xterm')
    console = Console(stream, Kept())
    for step in range(50):
        console.progress(f'step {step} of a long run')
        clock[0] += 1
    for _ in range(2):
        console.progress('step 49 of a long run', last=True)
    assert stream.getvalue().splitlines() == [f'step {step} of a long run' for step in (0, 20, 40, 49)]


@pytest.mark.parametrize(
    ('place', 'theirs'),
    [
        ('/env/lib/site-packages/thing.py', True),
        ('/usr/lib/python3/dist-packages/thing.py', True),
        ('/home/me/mmdet/mmdet.py', True),
        ('/home/me/project/mine.py', False),
        ('/env/lib/site-packages/mixmae_mm.py', False),
        ('/home/me/project/mmdet_extra.py', False),
    ],
)
def test_libraries_are_known_by_their_place(place, theirs):
    assert called_by(place, from_library) is theirs
    stream, log = io.StringIO(), Kept()
    called_by(place, partial(print, 'two', 'words', file=Printed(stream, Console(stream, log))))
    assert (log.lines, stream.getvalue()) == ((['two words'], '') if theirs else ([], 'two words\n'))


@pytest.mark.parametrize(
    ('place', 'level', 'text', 'shown', 'quiet'),
    [
        ('/site-packages/mmengine.py', 'info', 'Config:\nmodel = ...', '', ''),
        ('/site-packages/mmengine.py', 'info', 'The best checkpoint with 0.5 top1 at 2 epoch', None, ''),
        ('/site-packages/mmengine.py', 'info', 'resumed epoch: 3, iter: 12', None, ''),
        ('/site-packages/mmengine.py', 'warning', '"FileClient" will be deprecated in future', '', ''),
        ('/site-packages/mmengine.py', 'info', 'Stopping threshold reached: `top1` = 1 is greater than 0.9.', None, ''),
        ('/site-packages/mmengine.py', 'info', 'Monitored metric top1 = nan is infinite. Previous', None, ''),
        ('/site-packages/mmengine.py', 'info', 'the monitored metric did not improve in the last 3 rec', None, ''),
        ('/site-packages/mmengine.py', 'warning', 'a\n\nb\nc', 'warning: a (3 more line(s) in the log file)', ''),
        ('/site-packages/mmengine.py', 'error', 'a\nb', 'error: a\nb', 'error: a\nb'),
        ('/home/me/mine.py', 'info', 'as I said', None, ''),
        (
            '/site-packages/mixmae_mm.py',
            'info',
            'loaded: 12\nrenamed: 3',
            'loaded: 12 (1 more line(s) in the log file)',
            '',
        ),
    ],
)
def test_what_is_shown_of_what_is_logged(place, level, text, shown, quiet):
    for is_quiet, wanted in ((False, text if shown is None else shown), (True, quiet)):
        stream, logger = io.StringIO(), logging.Logger('run')
        logger.addHandler(Console(stream, Kept(), is_quiet).take(logging.StreamHandler()))
        called_by(place, getattr(logger, level), text)
        assert stream.getvalue() == f'{wanted}\n' * bool(wanted)


def test_of_warnings_that_differ_in_numbers_three_are_shown():
    stream, logger = io.StringIO(), logging.Logger('run')
    logger.addHandler(Console(stream, Kept()).take(logging.StreamHandler()))
    for count in range(1, 6):
        logger.warning(f'corrupt image skipped ({count} so far): {count}.jpg')
    logger.warning('another')
    corrupt = [f'warning: corrupt image skipped ({count} so far): {count}.jpg' for count in (1, 2, 3)]
    corrupt[-1] += ' (more of these in the log file only)'
    assert stream.getvalue().splitlines() == [*corrupt, 'warning: another']


@pytest.fixture
def warned(monkeypatch):
    """Yield a console that takes Python's warnings, as `start` sets it up, and its output."""
    stream, logger = io.StringIO(), logging.getLogger('py.warnings')
    console = Console(stream, MemoryHandler(sys.maxsize))
    monkeypatch.setattr(logger, 'handlers', [console.log, console.take(logging.StreamHandler())])
    monkeypatch.setattr(logger, 'propagate', False)
    with warnings.catch_warnings():
        warnings.simplefilter('always')
        logging.captureWarnings(True)
        yield console, stream
        logging.captureWarnings(False)


def test_of_a_library_s_warnings_deprecations_are_hidden(warned):
    for place in ('/site-packages/torch.py', '/home/me/mine.py'):
        for kind in (UserWarning, DeprecationWarning, PendingDeprecationWarning, FutureWarning):
            called_by(place, warnings.warn, f'of {kind.__name__}', kind)
    called_by('/site-packages/torch.py', warnings.warn, 'TypedStorage is deprecated')
    shown = [line.rpartition('of ')[-1] for line in warned[1].getvalue().splitlines()]
    assert shown == ['UserWarning', 'UserWarning', 'DeprecationWarning', 'PendingDeprecationWarning', 'FutureWarning']


def test_an_error_before_there_is_a_log_file_shows_the_warnings_that_wait_for_it(warned, monkeypatch, capsys):
    console, stream = warned
    monkeypatch.setattr(Console, 'current', console)
    for number in range(MOST + 2):
        called_by('/site-packages/torch.py', warnings.warn, f'{number} workers: too many')
    called_by('/site-packages/torch.py', warnings.warn, 'old', DeprecationWarning)
    called_by('/site-packages/torch.py', warnings.warn, 'another')
    assert len(stream.getvalue().splitlines()) == MOST + 1
    with pytest.raises(SystemExit, match='no such folder'), readable_errors(False):
        raise ValueError('no such folder')
    assert re.findall(r'warning: .*: (.* workers)', capsys.readouterr().err) == ['3 workers', '4 workers']
    assert not console.log.buffer


def test_a_warning_with_an_exception_names_it():
    try:
        raise ValueError('no images')
    except ValueError:
        record = logging.LogRecord('run', logging.WARNING, '', 0, 'the hook failed', (), sys.exc_info())
    assert OneLine().format(record) == 'warning: the hook failed: no images'


def test_the_log_has_what_came_before_its_file(tmp_path, monkeypatch):
    stream, log = io.StringIO(), MemoryHandler(sys.maxsize)
    construct = module._taken(MMLogger.__init__, Console(stream, log), log)
    monkeypatch.setattr(MMLogger, '__init__', construct)
    log.handle(logging.makeLogRecord(dict(msg='early', levelno=logging.INFO)))
    MMLogger(uuid.uuid4().hex).warning('no file yet')
    logger = MMLogger(uuid.uuid4().hex, log_file=str(tmp_path / 'run.log'))
    log.handle(logging.makeLogRecord(dict(msg='late', levelno=logging.INFO)))
    called_by('/site-packages/mmengine.py', logger.info, 'a dump')
    logged = [line.rpartition(' - ')[-1] for line in (tmp_path / 'run.log').read_text().splitlines()]
    assert logged == ['early', 'late', 'a dump']
    assert stream.getvalue() == 'warning: no file yet\n'
