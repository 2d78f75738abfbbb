"""Write the tables and citations of configs/*/README.md from the metafiles beside them.

    python tools/docs/config_readmes.py

The handwritten part above the mark is kept. A test compares the files with the output of this tool.
"""

from pathlib import Path
from typing import Any

import yaml

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
MARK = '<!-- The rest is written from metafile.yml by tools/docs/config_readmes.py -->\n'
LEGEND = """
## Configs

Status: *reported* by others and not run here, *measured* here, or *untuned*, which is a recipe without a result.

| config | training data | length | batch | parameters | status |
|---|---|--:|--:|--:|---|
"""


def readmes() -> dict[Path, str]:
    """Return what each README should say, by its path: the handwritten part, a table of configs, and papers."""
    metafiles = {path: yaml.safe_load(path.read_text()) for path in sorted(CONFIGS.glob('*/metafile.yml'))}
    collections = [entry for content in metafiles.values() for entry in content.get('Collections', [])]
    papers = {entry['Name']: entry['Paper'] for entry in collections if 'Paper' in entry}
    texts = {}
    for metafile, content in metafiles.items():
        path, models = metafile.with_name('README.md'), content['Models']
        cited = [paper for name, paper in papers.items() if name in {model['In Collection'] for model in models}]
        citations = [f'[{paper["Title"]}]({paper["URL"]})\n\n```bibtex\n{paper["BibTeX"]}\n```\n' for paper in cited]
        tables = [MARK, LEGEND, *map(row, models), '\n', '\n'.join(['## Citation\n', *citations])]
        texts[path] = path.read_text().partition(MARK)[0] + ''.join(tables)
    return texts


def row(model: dict[str, Any]) -> str:
    """Return the table row of a config."""
    name, data = model['Name'], model['Metadata']
    lengths = (f'{data[unit]:,} {unit.lower()}' for unit in ('Epochs', 'Iterations') if unit in data)
    size = f'{data["Parameters"] / 1e6:.1f} M'
    length, batch = next(lengths, '-'), str(data.get('Batch Size', '-'))  # none if the config only tests
    cells = [f'[{name}]({name}.py)', data['Training Data'], length, batch, size, status(model)]
    return f'| {" | ".join(cells)} |\n'


def status(model: dict[str, Any]) -> str:
    """Return the status of a config, with its results and their source."""
    metrics = [metric for result in model.get('Results', []) for metric in result['Metrics'].items()]
    if not metrics:
        return 'untuned'
    numbers = ', '.join(f'{name.removeprefix("Reported ")} {value}' for name, value in metrics)
    source = model['Metadata']['Source of Results'].removesuffix('; not run here')
    if metrics[0][0].startswith('Reported '):
        return f'reported by {source}: {numbers}'
    return f'measured: {numbers} ({source.replace("docs/results.md", "[results](../../docs/results.md)")})'


if __name__ == '__main__':
    for path, text in readmes().items():
        path.write_text(text)
