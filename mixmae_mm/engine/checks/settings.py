"""Settings of a dataset that its library would misread, or that nothing reads: class names, extensions, prefixes."""

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence

from mmengine.config import ConfigDict
from mmengine.dataset import BaseDataset

from mixmae_mm.engine.checks.report import Finding
from mixmae_mm.utils.config_keys import nearest

LIBRARIES = ('mmdet', 'mmpretrain', 'mmseg')
"""Libraries in whose code is looked up what their datasets read."""
LOOK_UP = re.compile(r'data_prefix(?:\[|\.get\()\s*[\'"](\w+)')
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
    if type(dataset).__module__.partition('.')[0] in LIBRARIES:
        yield from _unread_prefixes(type(dataset), settings.get('data_prefix'))
        yield from _unread_metainfo(type(dataset), metainfo)


def prefixes_read(kind: type[BaseDataset]) -> set[str]:
    """Return the keys of `data_prefix` that the code of a library's dataset looks up; none if any, or unknown."""
    if kind.load_data_list is BaseDataset.load_data_list:  # and mmengine's `parse_data_info`
        return set()
    parents = (parent for parent in kind.__mro__ if parent.__module__.partition('.')[0] in LIBRARIES)
    try:
        return {key for parent in parents for key in LOOK_UP.findall(re.sub('#.*', '', inspect.getsource(parent)))}
    except OSError:  # installed without its source
        return set()


def _unread_prefixes(kind: type[BaseDataset], given: object) -> Iterator[Finding]:
    """Report keys of `data_prefix` that a dataset does not read: an error if one that it reads is similar."""
    known = prefixes_read(kind) if isinstance(given, Mapping) else set()
    for name in given if known else ():
        if name not in known:
            near = nearest(name.lower(), known)
            what = f'nothing reads data_prefix.{name}: {kind.__name__} reads {" and ".join(sorted(known))}'
            advice = f'set data_prefix.{near} instead' if near else 'leave it out, or set one of these'
            yield Finding('error' if near else 'warning', what, advice)


def _unread_metainfo(kind: type[BaseDataset], given: Mapping) -> Iterator[Finding]:
    """Report misspelled keys of `metainfo`; others may serve anyone's code."""
    known = {'classes', 'palette', *kind.METAINFO}
    for name in set(given) - known:
        if near := nearest(name.lower(), known, 0.75):
            what = f'nothing reads metainfo.{name} of a {kind.__name__}'
            yield Finding('error' if near == name.lower() else 'warning', what, f'set metainfo.{near} instead')
