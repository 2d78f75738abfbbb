"""Run a notebook's code cells as they stand, without Jupyter, and store what they print and draw.

    python tools/docs/run_notebook.py docs/walkthrough.ipynb [--write]

Cells run one after another in one namespace, in an empty folder. As in Jupyter, the value of a cell's last line is
shown: an image as an image, anything else as its `repr`.
"""

import argparse
import ast
import base64
import contextlib
import io
import json

from python_running import empty_folder

from mixmae_mm.utils.arguments import expanded


def code_cells(notebook: dict) -> list[dict]:
    """List the cells that are run."""
    return [cell for cell in notebook['cells'] if cell['cell_type'] == 'code']


def run(notebook: dict) -> list[list[dict]]:
    """Run all cells; return the outputs of each, as a notebook stores them. Exceptions in cells are not caught."""
    names: dict[str, object] = {'__name__': '__main__'}
    with empty_folder():
        return [run_cell(''.join(cell['source']), names) for cell in code_cells(notebook)]


def run_cell(source: str, names: dict[str, object]) -> list[dict]:
    """Run a cell; return what it printed and the value of its last line."""
    tree = ast.parse(source)
    last = ast.Expression(tree.body.pop().value) if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed, value, outputs = io.StringIO(), None, []
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, '<cell>', 'exec'), names)
        if last is not None:
            value = eval(compile(last, '<cell>', 'eval'), names)
    if printed.getvalue():
        outputs.append(dict(output_type='stream', name='stdout', text=printed.getvalue().splitlines(keepends=True)))
    if value is not None:
        is_image = hasattr(value, '_repr_png_')
        data = {'image/png': base64.b64encode(value._repr_png_()).decode()} if is_image else {}
        data['text/plain'] = ['an image' if is_image else repr(value)]
        outputs.append(dict(output_type='execute_result', execution_count=None, metadata={}, data=data))
    return outputs


def main() -> None:
    """Run, and with `--write` store the outputs in the cells."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('notebook', type=expanded)
    parser.add_argument('--write', action='store_true', help='store the outputs in the file')
    args = parser.parse_args()
    path = args.notebook.resolve()
    notebook = json.loads(path.read_text())
    outputs = run(notebook)
    for number, (cell, found) in enumerate(zip(code_cells(notebook), outputs, strict=True), 1):
        cell['execution_count'] = number
        cell['outputs'] = [output | ({'execution_count': number} if 'data' in output else {}) for output in found]
    if args.write:
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + '\n')
    print(f'{args.notebook}: {len(outputs)} cells ran')


if __name__ == '__main__':
    main()
