"""The number of classes of a model, if a config leaves it to the class folders: `num_classes='auto'`."""

from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

from mixmae_mm.engine.checks.config import ALL
from mixmae_mm.engine.checks.datasets import class_names, distinct_settings, image_folder, open_dataset
from mixmae_mm.engine.checks.report import Report
from mixmae_mm.engine.checks.settings import name_findings

AUTO = 'auto'


def fill_num_classes(config: Config) -> None:
    """Replace every `num_classes='auto'` by the number of classes in the training set, or else in another split.

    Thus heads, Mixup's preprocessor and metrics agree, and the config that a run writes states the number. Raise
    ValueError if there are no classes, or only one, or if their names cannot be used.
    """
    undecided = [*_undecided(config._cfg_dict)]
    if not undecided:
        return
    looked, names, report = [], (), Report()
    for where, settings in distinct_settings(config, ALL):
        dataset = open_dataset(settings, config.get('default_scope'))
        if dataset is not None and not names:
            looked.append(image_folder(dataset) or dataset.data_root)
            names = class_names(dataset)
            report.add(', '.join(where), name_findings(dataset.metainfo.get('classes')))
    if len(names) < 2:
        report.refuse()
        found = f'1 ({names[0]})' if names else 'none'
        raise ValueError(
            f"num_classes='{AUTO}' needs two or more class folders, but there is {found} in "
            f'{", ".join(looked) or "the datasets of this config"}: put the images of each class into a folder of '
            'their own, and set --cfg-options {train,val,test}_dataloader.dataset.data_root=FOLDER; or use the config '
            'that a training run wrote, which states the number'
        )
    for part in undecided:
        part['num_classes'] = len(names)


def _undecided(node: Any) -> Iterator[dict]:
    """Yield the parts of a config with `num_classes='auto'`."""
    if isinstance(node, dict):
        if node.get('num_classes') == AUTO:
            yield node
        node = node.values()
    elif not isinstance(node, list | tuple):
        return
    for part in node:
        yield from _undecided(part)
