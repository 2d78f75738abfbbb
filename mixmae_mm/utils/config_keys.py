"""Which settings a part of a config accepts, and which of the given ones nothing reads.

mmengine passes most parts of a config to a constructor, which refuses unknown settings; others it only looks into.
"""

import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator

from mmengine import registry
from mmengine.config import Config
from mmengine.optim import AmpOptimWrapper
from mmengine.runner import EpochBasedTrainLoop, FlexibleRunner, IterBasedTrainLoop, LogProcessor, Runner
from torch.utils.data import DataLoader

REGISTRIES = [value for value in vars(registry).values() if isinstance(value, registry.Registry)]
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
OF_LOADERS = {'dataset', 'batch_sampler', 'num_batch_per_epoch', 'disable_subprocess_warning'}
ALWAYS = {'type', '_scope_', '_delete_', 'init_cfg'}
"""Keys that any part of a config may hold."""
INSIDE = {
    'env_cfg': {'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'},
    'env_cfg.mp_cfg': {'mp_start_method', 'opencv_num_threads'},
    'auto_scale_lr': {'enable', 'base_batch_size'},
    'optim_wrapper.clip_grad': {'type', 'max_norm', 'norm_type', 'error_if_nonfinite', 'foreach', 'clip_value'},
}
"""The settings of parts that mmengine only looks into, ignoring others, or passes on long after the start."""
OLD = dict(
    optimizer='optim_wrapper.optimizer',
    optimizer_config='optim_wrapper',
    lr_config='param_scheduler',
    checkpoint_config='default_hooks.checkpoint',
    log_config='default_hooks.logger',
    evaluation='train_cfg.val_interval and val_evaluator',
)
"""Top-level keys of mmcv 1, which nothing reads any more, and what replaced them."""


def parameters(*makers: Callable) -> set[str]:
    """Return the parameter names of classes or functions; also of base classes if a class has `**kwargs`."""
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
    *('tta_pipeline', 'strategy', 'compile', '_delete_', '_scope_'),
}
"""Top-level keys of a config that mmengine or our tools read."""


def known_settings(place: str, node: dict, scope: str) -> set[str] | None:
    """Return the settings that a part of a config accepts, or None if they are unknown."""
    if place in INSIDE:
        return INSIDE[place] | ALWAYS
    if place in LOADERS:
        return parameters(DataLoader) | OF_LOADERS | ALWAYS
    if place == 'randomness':
        return parameters(Runner.set_randomness) | ALWAYS
    makers = _makers(node.get('type'), scope)
    if place == 'train_cfg' and not makers:
        makers = [EpochBasedTrainLoop if node.get('by_epoch', True) else IterBasedTrainLoop]
    if place == 'log_processor':
        makers = makers or [LogProcessor]
    if not makers or place.endswith(('norm_cfg', 'conv_cfg', 'act_cfg', 'upsample_cfg')):  # mmcv removes some
        return None
    more = {
        'train_cfg': {'by_epoch'},
        'optim_wrapper': parameters(AmpOptimWrapper) | {'constructor', 'paramwise_cfg'},  # --amp makes it one
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


def nearest(name: str, known: Iterable[str], cutoff: float = 0.5) -> str | None:
    """Return the known name most similar to `name`, if any; `cutoff` is difflib's minimum ratio."""
    return next(iter(difflib.get_close_matches(name, sorted(known), 1, cutoff)), None)


def check_options(config: Config, options: Iterable[str]) -> list[str]:
    """Check settings of the command line; return warnings.

    Refuse any that is misspelled, leads nowhere, or is a variable that only had an effect while the config was loaded.
    """
    warnings = []
    for key in options:
        top = key.split('.')[0]
        places = [] if top in TOP else list(_find_settings(top, '', config._cfg_dict))
        if places or (top not in TOP and top in config and not isinstance(config[top], dict)):
            fed = f', such as {", ".join(f"{place}=..." for place in places)}' if places else ''
            raise ValueError(
                f'{key} has no effect here: no part of a run reads {top}, and what the config file computed from it '
                f'keeps its value. Set that{fed}'
            )
        if top in config and top not in TOP:
            warnings.append(f'{key} is set, but only your own code can read {top}')
        else:
            current_value(config, key, check_new=True)
    return warnings


def _find_settings(name: str, place: str, node: object) -> Iterator[str]:
    """Yield the settings of this name within the parts of a config that are read."""
    for key, value in node.items() if isinstance(node, dict) else ():
        if place and key == name:
            yield f'{place}.{key}'
        elif place or key in TOP:
            yield from _find_settings(name, f'{place}.{key}'.strip('.'), value)


def current_value(config: Config, key: str, check_new: bool = False) -> object:
    """Return the value at a key such as `a.0.b`, or None if there is none; then `check_new` checks the name."""
    node, place = config._cfg_dict, ''
    for part in key.split('.'):
        if isinstance(node, list | tuple):
            if not part.isdigit() or int(part) >= len(node):
                raise ValueError(f'{key} cannot be set: {place} has {len(node)} entries, counted from 0, and no {part}')
            node = node[int(part)]
        elif not isinstance(node, dict):
            raise ValueError(f'{key} cannot be set, as {place} is {node!r} in the config: set all of {place}=...')
        elif part not in node:
            scope = config.get('default_scope', 'mmengine')
            known = known_settings(place, node, scope) if place else TOP | set(node)
            return _check_name(place, node, part, known) if check_new else None
        else:
            node = node[part]
        place = f'{place}.{part}'.strip('.')
    return node


def _check_name(place: str, node: dict, name: str, known: set[str] | None) -> None:
    """Check that a part of a config accepts a setting; `known` are those it accepts, None if unknown."""
    if name == '_delete_' or name in (known or node):
        return
    near = nearest(name, known) if known else nearest(name, set(node) - {name}, 0.8)
    if known is None and not near:
        return
    hint = f'did you mean {near}?' if near else f'it takes {", ".join(sorted(known - ALWAYS))}'
    whole = f'{place}.{name}'.strip('.')
    raise ValueError(f'nothing reads {whole}: {place or "a config"} has no setting {name}; {hint}')


def check_names(config: Config) -> list[str]:
    """Check the names of settings that mmengine would silently ignore, and of the optimizer; return warnings."""
    scope = config.get('default_scope', 'mmengine')
    for place in (*LOADERS, 'train_cfg', 'optim_wrapper', *INSIDE):
        node = config
        for part in place.split('.'):
            node = node.get(part) or {}
        known = known_settings(place, node, scope)
        for name in node if known else ():
            _check_name(place, node, name, known)
    settings = (config.get('optim_wrapper') or {}).get('optimizer')
    kind = settings.get('type') if isinstance(settings, dict) else None
    if isinstance(kind, str) and not _makers(kind, scope):
        near = nearest(kind, registry.OPTIMIZERS.module_dict)
        raise ValueError(f'optim_wrapper.optimizer.type: there is no optimizer {kind}; did you mean {near}?')
    for name, hook in (config.get('default_hooks') or {}).items():
        if isinstance(hook, dict) and 'type' not in hook:
            near = nearest(name, set(config.default_hooks) - {name})
            hint = f'did you mean {near}?' if near else 'name the class of the hook'
            raise ValueError(f'default_hooks.{name} has no type; {hint}')
    near = {name: OLD.get(name) or nearest(name, TOP, 0.9) for name in sorted(set(config) - TOP)}  # for any variable
    if config.get('optimizer') == settings:  # a variable that the config has used
        near.pop('optimizer', None)
    return [f'nothing reads {name} of {config.filename}: write {one}' for name, one in near.items() if one]
