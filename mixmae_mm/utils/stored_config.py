"""Settings in the config that a run left in its work_dir, read without running it: configs are programs."""

import ast
from pathlib import Path


def read_setting(file: Path, name: str) -> object:
    """Read what a config, as mmengine writes it out, assigns to a name; None where that is not plain data."""
    try:
        statements = ast.parse(file.read_text()).body
        values = [each.value for each in statements if isinstance(each, ast.Assign) and _names(each) == [name]]
        return _evaluate(values[-1]) if values else None
    except (SyntaxError, ValueError, TypeError):
        return None


def _names(assignment: ast.Assign) -> list[str | None]:
    """List the names that a statement assigns to."""
    return [getattr(target, 'id', None) for target in assignment.targets]


def _evaluate(node: ast.expr) -> object:
    """Compute literals, and `dict(name=literal)`."""
    if isinstance(node, ast.Call) and getattr(node.func, 'id', None) == 'dict' and not node.args:
        return {keyword.arg: _evaluate(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.List | ast.Tuple):
        return [_evaluate(each) for each in node.elts]
    if isinstance(node, ast.Dict) and None not in node.keys:
        return {_evaluate(key): _evaluate(value) for key, value in zip(node.keys, node.values, strict=True)}
    return ast.literal_eval(node)
