"""Which settings are computed from a variable of a config file, found in the text of the file and its bases.

A variable such as `batch_size` has been used up once its file is loaded: to change it later changes nothing.
"""

import ast
import re
from collections.abc import Iterator

from mmengine.config import Config

IN_TEXT = re.compile(r'{{\s*_base_\.(\w+)')
DEEPEST = 10
"""Dots in a setting's name: `dataset = dict(dataset=dataset)` would lead to ever longer ones."""
Use = tuple[str, set[str], bool]
"""A setting such as `train_dataloader.dataset`, the variables in its expression, and whether it is just a variable."""


def files_of(path: str) -> Iterator[str]:
    """Yield a config file and its bases, at any depth."""
    yield path
    for base in Config._get_base_files(path):
        yield from files_of(Config._get_cfg_path(base, path)[0])


def uses_in(path: str) -> list[Use]:
    """List what a file sets, with the variables that each is computed from; nothing for files that are not Python."""
    if not path.endswith('.py'):
        return []
    with open(path, encoding='utf-8') as file:
        statements = list(ast.walk(ast.parse(file.read())))
    found = []
    for node in statements:
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            parts = [part for target in targets for part in getattr(target, 'elts', [target])]
            found += [use for part in parts for use in _uses(_chain(part), node.value)]
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):  # train_pipeline.append(...)
            found += _uses(_chain(node.value.func).rpartition('.')[0], ast.Tuple(node.value.args))
    return found


def fed_by(path: str, name: str, settings: set[str]) -> list[str]:
    """List those of the config's `settings` that are computed from a variable, also by way of other variables."""
    uses = [use for file in files_of(path) for use in uses_in(file)]
    pending, found = [name], {name}
    while pending:
        current = pending.pop()
        for place, names, is_alias in uses:
            for used in names:
                rest = current.removeprefix(used) if is_alias else ''
                if _is_within(current, used) or _is_within(used, current):
                    reached = place + rest if rest != current else place
                    if reached not in found and reached.count('.') <= DEEPEST:
                        pending.append(reached)
                        found.add(reached)
    fed = {place for place in found if place.split('.')[0] in settings}
    return sorted(place for place in fed if not any(_is_within(other, place) for other in fed - {place}))


def _is_within(place: str, other: str) -> bool:
    """Return whether a setting is another one or a part of it."""
    return f'{place}.'.startswith(f'{other}.')


def set_in_vain(path: str, settings: set[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the variables that a file sets and does not use, with the settings that its bases computed from them."""
    own, bases = uses_in(path), list(files_of(path))[1:]
    used = {name.split('.')[0] for _, names, _ in own for name in names}
    for name in sorted({place for place, *_ in own if place.isidentifier()} - used - settings - {'_base_'}):
        fed = sorted({place for base in bases for place in fed_by(base, name, settings)})
        if fed:
            yield name, fed


def _chain(node: ast.AST) -> str:
    """Write `a.b` and `a['b']` as a.b, without `_base_`; what comes after any other index is left out."""
    if isinstance(node, ast.Subscript):
        key = node.slice.value if isinstance(node.slice, ast.Constant) else ''
        return _chain(node.value) + (f'.{key}' if key != '' else '')
    if isinstance(node, ast.Attribute):
        before = _chain(node.value)
        return node.attr if before == '_base_' else f'{before}.{node.attr}'
    return node.id if isinstance(node, ast.Name) else ''


def _uses(place: str, value: ast.AST) -> Iterator[Use]:
    """Yield the settings within an expression, dicts taken apart."""
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == 'dict':
        entries = [(entry.arg, entry.value) for entry in value.keywords] + [(None, part) for part in value.args]
    elif isinstance(value, ast.Dict):
        entries = [(getattr(key, 'value', None), part) for key, part in zip(value.keys, value.values, strict=True)]
    elif isinstance(value, ast.List):
        entries = [(str(index), part) for index, part in enumerate(value.elts)]
    else:
        yield place, set(_names(value)), bool(_chain(value))
        return
    for key, part in entries:
        yield from _uses(f'{place}.{key}' if isinstance(key, str) else place, part)


def _names(value: ast.AST) -> Iterator[str]:
    """Yield the variables in an expression, the file's own and its bases', with what is taken of them: a.b."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield from IN_TEXT.findall(value.value)
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):  # a.b.get('c')
        parts = [value.func.value, *value.args, *value.keywords]
    elif _chain(value):
        yield _chain(value)
        return
    else:
        parts = ast.iter_child_nodes(value)
    for part in parts:
        yield from _names(part)
