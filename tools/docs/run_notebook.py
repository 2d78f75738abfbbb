"""Run a notebook's code cells as they stand, without Jupyter, and store what they print and draw.

    python tools/docs/run_notebook.py docs/walkthrough.ipynb [--write]

Cells run one after the other in one namespace, in an empty folder. As in Jupyter, the value of a cell's last line is
shown: an image as an image, anything else by its name.
"""

import argparse
import ast
import base64
import contextlib
import io
import json
import os
import tempfile
from pathlib import Path

Output = dict[str, object]


def code_cells(notebook: dict) -> list[dict]:
    """List the cells that are run."""
    return [cell for cell in notebook['cells'] if cell['cell_type'] == 'code']


def run(notebook: dict) -> list[list[Output]]:
    """Run all cells; give the outputs of each, as a notebook stores them. What a cell raises ends it."""
    names: dict[str, object] = {'__name__': '__main__'}
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            return [run_cell(''.join(cell['source']), names) for cell in code_cells(notebook)]
        finally:
            os.chdir(before)


def run_cell(source: str, names: dict[str, object]) -> list[Output]:
    """Run a cell, and give what it printed and the value of its last line."""
    tree = ast.parse(source)
    last = ast.Expression(tree.body.pop().value) if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, '<cell>', 'exec'), names)
        if last is not None:
            value = eval(compile(last, '<cell>', 'eval'), names)
    outputs: list[Output] = []
    if printed.getvalue():
        outputs.append(dict(output_type='stream', name='stdout', text=printed.getvalue().splitlines(keepends=True)))
    if value is not None:
        outputs.append(dict(output_type='execute_result', execution_count=None, metadata={}, data=describe(value)))
    return outputs


def describe(value: object) -> dict[str, object]:
    """Show a value: an image by its bytes, others by their name."""
    if hasattr(value, '_repr_png_'):
        return {'image/png': base64.b64encode(value._repr_png_()).decode(), 'text/plain': ['an image']}
    return {'text/plain': [repr(value)]}


def store(notebook: dict, outputs: list[list[Output]]) -> None:
    """Put outputs into the cells that gave them."""
    for number, (cell, given) in enumerate(zip(code_cells(notebook), outputs, strict=True), 1):
        cell['execution_count'] = number
        cell['outputs'] = [output | ({'execution_count': number} if 'data' in output else {}) for output in given]


def main(arguments: list[str] | None = None) -> None:
    """Run, and with `--write` store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('notebook', type=Path)
    parser.add_argument('--write', action='store_true', help='store the outputs in the file')
    args = parser.parse_args(arguments)
    path = args.notebook.resolve()
    notebook = json.loads(path.read_text())
    outputs = run(notebook)
    if args.write:
        store(notebook, outputs)
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + '\n')
    print(f'{args.notebook}: {len(outputs)} cells ran')


if __name__ == '__main__':
    main()
