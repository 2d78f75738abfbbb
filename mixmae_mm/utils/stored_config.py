"""Settings in the config that a run left in its work_dir, read without running it: configs are programs."""

import ast
from pathlib import Path


def read_setting(file: Path, name: str) -> object:
    """Read what a config, as mmengine writes it out, assigns to a name; None where that is not plain data."""
    try:
        statements = [each for each in ast.parse(file.read_text()).body if isinstance(each, ast.Assign)]
        values = [each.value for each in statements if [getattr(x, 'id', None) for x in each.targets] == [name]]
        return _evaluate(values[-1]) if values else None
    except (SyntaxError, ValueError, TypeError):
        return None


def _evaluate(node: ast.expr) -> object:
    """Compute literals, and `dict(name=literal)`."""
    if isinstance(node, ast.Call) and getattr(node.func, 'id', None) == 'dict' and not node.args:
        return {keyword.arg: _evaluate(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.List | ast.Tuple):
        return [_evaluate(each) for each in node.elts]
    return ast.literal_eval(node)
