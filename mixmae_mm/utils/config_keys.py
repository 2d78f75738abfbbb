"""Which settings a part of a config takes, and which of those given are read by nothing.

mmengine passes most parts of a config to a constructor, which refuses what it does not know; some it only looks into.
"""

import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator

from mmengine import registry
from mmengine.config import Config
from mmengine.optim import AmpOptimWrapper
from mmengine.runner import EpochBasedTrainLoop, FlexibleRunner, IterBasedTrainLoop, LogProcessor, Runner
from torch.utils.data import DataLoader

from mixmae_mm.utils.config_sources import fed_by, set_in_vain

REGISTRIES = [value for value in vars(registry).values() if isinstance(value, registry.Registry)]
LOADER = ('dataset', 'batch_sampler', 'num_batch_per_epoch', 'disable_subprocess_warning')
ALWAYS = {'type', '_scope_', '_delete_', 'init_cfg'}
"""Keys that any part of a config may hold."""
INSIDE = {
    'env_cfg': {'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'},
    'env_cfg.mp_cfg': {'mp_start_method', 'opencv_num_threads'},
    'auto_scale_lr': {'enable', 'base_batch_size'},
}
"""Parts that mmengine looks into, and whose other settings it passes over."""
SUGGESTED = 0.5
"""How alike two names must be for one to be suggested in place of the other (difflib's ratio)."""
MISSPELT = 0.8
"""How alike for one to be taken for the other misspelt, where any name is possible."""


def parameters(*makers: Callable) -> set[str]:
    """Return the names that classes or functions take; those of base classes too where a class passes the rest on."""
    names: set[str] = set()
    for maker in makers:
        for kind in inspect.getmro(maker) if inspect.isclass(maker) else [maker]:
            own = inspect.signature(kind.__init__ if inspect.isclass(kind) else kind).parameters.values()
            names |= {one.name for one in own if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
            if not any(one.kind is one.VAR_KEYWORD for one in own):
                break
    return names - {'self', 'runner', 'dataloader'}


TOP = parameters(Runner, FlexibleRunner) | {
    *('runner_type', 'custom_imports', 'find_unused_parameters', 'model_wrapper_cfg', 'sync_bn', 'tta_model'),
    *('tta_pipeline', 'strategy', 'compile', 'optimizer', '_delete_', '_scope_'),
}
"""Top-level keys of a config that mmengine or our tools read."""


def known_settings(place: str, node: dict, scope: str) -> set[str] | None:
    """Return the settings that a part of a config takes; None where they are unknown."""
    last = place.rpartition('.')[2]
    if place in INSIDE:
        return INSIDE[place] | ALWAYS
    if place in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        return parameters(DataLoader) | {*LOADER} | ALWAYS
    if place == 'randomness':
        return parameters(Runner.set_randomness) | ALWAYS
    makers = _makers(node.get('type'), scope)
    if place == 'train_cfg' and not makers:
        makers = [EpochBasedTrainLoop if node.get('by_epoch', True) else IterBasedTrainLoop]
    if place == 'log_processor':
        makers = makers or [LogProcessor]
    if not makers or last in ('norm_cfg', 'conv_cfg', 'act_cfg', 'upsample_cfg'):  # mmcv takes some of these away
        return None
    more = {
        'train_cfg': {'by_epoch', 'max_epochs', 'max_iters'},  # check_schedule says which of them
        'optim_wrapper': parameters(AmpOptimWrapper) | {'constructor', 'paramwise_cfg'},  # it becomes one by --amp
        'param_scheduler': {'convert_to_iter_based', 'by_epoch', 'begin', 'end'},
    }
    return parameters(*makers) | more.get(place.split('.')[0], set()) | ALWAYS


def _makers(kind: object, scope: str) -> list[Callable]:
    """Find what is registered under the name of a type, in any registry."""
    if not isinstance(kind, str):
        return [kind] if callable(kind) else []
    names = [kind] if '.' in kind else [f'{scope}.{kind}', kind]
    found = (next(filter(None, map(one.get, names)), None) for one in REGISTRIES)
    return [maker for maker in found if maker]


def nearest(name: str, known: Iterable[str], cutoff: float = SUGGESTED) -> str | None:
    """Return the known name that is most like another."""
    return next(iter(difflib.get_close_matches(name, sorted(known), 1, cutoff)), None)


def nearest_type(name: str, kind: str) -> str | None:
    """Return the type that is most like one that a registry of this kind, `'optimizer'` for one, does not have."""
    known = set()
    for root in REGISTRIES:
        for one in (root, *root.children.values()) if root.name == kind else ():
            known |= {f'{one.scope}.{own}' if '.' in name else own for own in one.module_dict}
    return nearest(name, known)


def check_optimizer(config: Config) -> None:
    """Check that the type of the optimizer is known, of which mmengine only says that None cannot be called.

    Raises:
        ValueError: it is not.
    """
    settings = (config.get('optim_wrapper') or {}).get('optimizer')
    kind = settings.get('type') if isinstance(settings, dict) else None
    if isinstance(kind, str) and not _makers(kind, config.get('default_scope', 'mmengine')):
        near = nearest_type(kind, 'optimizer')
        raise ValueError(
            f'optim_wrapper.optimizer.type: there is no optimizer {kind}; '
            + (f'the nearest that there is: {near}' if near else 'import the module that registers it: custom_imports')
        )


def check_options(config: Config, options: Iterable[str]) -> list[str]:
    """Check that each setting of the command line is one that something reads; return warnings.

    Raises:
        ValueError: it is misspelt, or a variable that has been used up when the config was loaded.
    """
    return [warning for key in options for warning in _check_option(config, key)]


def _check_option(config: Config, key: str) -> Iterator[str]:
    """Follow a setting into the config as far as it is there."""
    node, place = config._cfg_dict, []
    if (top := key.split('.')[0]) in node and top not in TOP:
        _check_variable(config, top, key)
        yield f'{key} is set, and nothing in the config uses {top}'
        return
    for part in key.split('.'):
        if isinstance(node, list | tuple):
            _check_index('.'.join(place), node, part)
            node = node[int(part)]
        elif not isinstance(node, dict):
            _refuse_inner('.'.join(place), node, key)
        elif part not in node:
            if not place and part not in TOP:
                _check_variable(config, part, key)
            _check_name('.'.join(place), node, part, config.get('default_scope', 'mmengine'))
            return
        else:
            node = node[part]
        place.append(part)


def _check_index(place: str, node: list | tuple, part: str) -> None:
    """Check that a key is an index of a list."""
    if not part.isdigit() or int(part) >= len(node):
        raise ValueError(f'{place}.{part} is none of the {len(node)} entries of {place}, which count from 0')


def _refuse_inner(place: str, value: object, key: str) -> None:
    """Check that a setting is not within a value that holds none."""
    raise ValueError(
        f'{key} cannot be set, as {place} is {value!r} in the config: set {place}=..., all of it, such as '
        f'{place}="{{\'type\': \'...\'}}"'
    )


def _check_variable(config: Config, name: str, key: str) -> None:
    """Check that a setting is not a variable from which settings are computed."""
    fed = fed_by(config.filename, name, TOP) or list(_settings_named(name, config._cfg_dict))
    if fed:
        raise ValueError(
            f'{key} has no effect here: no part of a run reads {name}, and what the config file computed from it keeps '
            f'its value. Set what you mean of: {", ".join(f"{place}=..." for place in fed)}'
        )


def _settings_named(name: str, node: object, place: str = '') -> Iterator[str]:
    """Yield the settings of this name within those that are read."""
    for key, value in node.items() if isinstance(node, dict) else ():
        if place and key == name:
            yield f'{place}.{key}'
        elif place or key in TOP:
            yield from _settings_named(name, value, f'{place}.{key}'.strip('.'))


def _check_name(place: str, node: dict, name: str, scope: str) -> None:
    """Check that a part of a config takes a setting."""
    known = known_settings(place, node, scope) if place else TOP | set(node)
    near = nearest(name, known or set(node) - {name}, SUGGESTED if known else MISSPELT)
    if name == '_delete_' or (known is None and not near) or name in (known or node):
        return
    where = place or 'a config'
    hint = f'the nearest that there is: {near}' if near else f'it takes {", ".join(sorted(known - ALWAYS))}'
    raise ValueError(f'nothing reads {place and place + "."}{name}: {where} has no setting {name}; {hint}')


def check_names(config: Config) -> list[str]:
    """Check the names of settings that mmengine passes over in silence; return warnings.

    Raises:
        ValueError: a part that mmengine looks into has a setting that it does not read.
    """
    check_optimizer(config)
    top, scope = config._cfg_dict, config.get('default_scope', 'mmengine')
    for place in ('train_dataloader', 'val_dataloader', 'test_dataloader', 'train_cfg', 'optim_wrapper', *INSIDE):
        node = config
        for part in place.split('.'):
            node = node.get(part) or {}
        known = known_settings(place, node, scope)
        for name in node if known else ():
            _check_name(place, node, name, scope)
    near = {name: nearest(name, TOP - set(top), MISSPELT) for name in set(top) - TOP}
    warnings = [
        f'nothing reads {name} of {config.filename}: is {other} meant?'
        for name, other in sorted(near.items())
        if other and not fed_by(config.filename, name, TOP)
    ]
    return warnings + [
        f'{name} in {config.filename} has no effect: {", ".join(fed)} of its base keep their values; set those'
        for name, fed in set_in_vain(config.filename, TOP)
    ]

