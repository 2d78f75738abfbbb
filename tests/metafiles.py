"""What the metafiles say of each config."""

import functools
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


@functools.cache
def metafiles():
    """Read the metafiles that model-index.yml imports: {path: what it says}."""
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    return {path: yaml.safe_load((ROOT / path).read_text()) for path in index['Import']}


def models():
    """List the entries of all configs."""
    return [model for metafile in metafiles().values() for model in metafile['Models']]


def collections():
    """List the methods: {name: entry}."""
    return {entry['Name']: entry for metafile in metafiles().values() for entry in metafile.get('Collections', [])}


def parameters(path):
    """Return the number of parameters that a config's model is said to have."""
    name = path.relative_to(ROOT).as_posix()
    return next(model['Metadata']['Parameters'] for model in models() if model['Config'] == name)
