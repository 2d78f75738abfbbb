"""Settings of a dataset that its library would misread: class names, extensions."""

from collections.abc import Iterator, Sequence

from mmengine.config import ConfigDict
from mmengine.dataset import BaseDataset

from mixmae_mm.engine.checks.report import Finding

QUOTED = """write them in quotes: "...classes=('01','02')" on the command line, ['01', '02'] in a config"""
NO_STRING = Finding('error', 'class names that are not strings', QUOTED)


def name_findings(named: object) -> Iterator[Finding]:
    """Report class names that are not a list of strings, such as the numbers that `classes=01,02` gives."""
    if isinstance(named, str):
        what = 'classes are one string, which is read letter by letter'
        yield Finding('error', what, "write a tuple: classes=('nucleus',)", named)
    elif isinstance(named, Sequence):
        yield from (NO_STRING.at(repr(name)) for name in named if not isinstance(name, str))
    elif named is not None:
        yield Finding('error', f'classes must be a list of names, got {named!r}', QUOTED)


def settings_findings(settings: ConfigDict, dataset: BaseDataset | None) -> Iterator[Finding]:
    """Report faulty settings of a dataset; `dataset` is None if it cannot be opened."""
    metainfo, extensions = settings.get('metainfo') or {}, settings.get('extensions')
    yield from name_findings((metainfo if dataset is None else dataset.metainfo).get('classes'))
    if isinstance(extensions, str):  # mmpretrain reads it letter by letter, and ours refuses it
        what = f"extensions must be a list like ['.npy'], with one dot, got {extensions!r}"
        yield Finding('error', what, f'set extensions=[{extensions}] of the dataset')
