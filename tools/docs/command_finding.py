"""Find the commands and the Python of pages: in indented and fenced blocks, and inline in the text."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = (
    *('apptainer', 'apt-get', 'conda', 'curl', 'docker', 'git', 'jupyter', 'mim', 'mkdocs', 'module', 'podman'),
    *('sbatch', 'singularity', 'srun', 'sudo', 'tensorboard', 'torchrun', 'wget'),
    *('cd', 'cp', 'export', 'for', 'ls', 'mkdir', 'source', 'tar', 'ulimit'),
)
"""Programs of others, whose command lines are theirs to judge."""
PROGRAMS = ('python', 'python3', 'make', 'mixmae', 'pip', *OUTSIDE)
"""Words that a command begins with; besides, paths of scripts."""
SCRIPT = re.compile(r'(?:\.?\.?/)?[\w./-]+\.sh$|(?:\.venv/bin|\.ci)/\w+$')
SETTING = re.compile(r'[A-Z_]+=\S+$')
SHELLS = ('', 'bash', 'sh', 'shell', 'console')


class Command(NamedTuple):
    """A command as a page has it, on one line."""

    page: str
    line: int
    text: str
    inline: bool = False
    """Whether it stands in a sentence, where arguments may be left out."""


def pages() -> list[Path]:
    """List the pages that are looked through."""
    tops = [ROOT / name for name in ('README.md', 'CONTRIBUTING.md', 'CHANGELOG.md')]
    return [*tops, *sorted((ROOT / 'docs').rglob('*.md'))]


def commands_of(page: Path) -> list[Command]:
    """List all commands of a page, in order."""
    text = page.read_text()
    joined = (command for first, block in _blocks(text) for command in _joined(first, block))
    found = [Command(page.name, *command) for command in joined]
    prose = re.sub(r'^```.*?^```', lambda block: '\n' * block[0].count('\n'), text, flags=re.MULTILINE | re.DOTALL)
    for quoted in re.finditer(r'(?<!`)`([^`]+)`(?!`)', prose):
        command = ' '.join(quoted[1].split())
        if ' ' in command and is_command(command):
            found.append(Command(page.name, prose.count('\n', 0, quoted.start()) + 1, command, inline=True))
    return sorted(set(found), key=lambda command: (command.line, command.text))


def is_command(text: str) -> bool:
    """Tell a command from output, settings and names, by its first word that sets no variable."""
    words = [word for word in text.split() if not SETTING.match(word)]
    return bool(words) and (words[0] in PROGRAMS or SCRIPT.match(words[0]) is not None)


def _blocks(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each block that may hold commands, with the number of its first line."""
    block, fence, language = [], False, ''
    for number, line in enumerate([*text.splitlines(), ''], 1):
        is_fence = line.lstrip().startswith('```')
        if is_fence:
            fence, language = not fence, line.strip().strip('`') if not fence else ''
        elif (fence and language in SHELLS) or (not fence and line.startswith('    ')):
            block.append(line.strip())
            continue
        if block:
            yield number - len(block), block
            block = []


def _joined(first: int, block: list[str]) -> Iterator[tuple[int, str]]:
    """Yield the commands of a block, lines that end in a backslash joined, prompts and comments left out."""
    text = ''
    for number, line in enumerate(block, first):
        text += re.sub(r'\s+# .*|^\$ ', '', line)
        if text.endswith('\\'):
            text = text[:-1]
        elif is_command(text):
            yield number, ' '.join(text.split())
            text = ''
        else:
            text = ''


def python_of(page: Path) -> list[tuple[int, str]]:
    """List the blocks of Python of a page, with the numbers of their first lines."""
    text = page.read_text()
    found = re.finditer(r'^```python\n(.*?)^```', text, re.MULTILINE | re.DOTALL)
    return [(text.count('\n', 0, block.start()) + 2, block[1]) for block in found]
