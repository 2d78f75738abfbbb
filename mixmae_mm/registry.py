"""The library's registries: children of mmengine's root registries with the scope `mixmae_mm`.

Each states where its modules are defined, so `type='mixmae_mm.MixMIMSwin'` builds in mmpretrain, mmdet and mmseg
without `custom_imports`.
"""

from mixmae_mm.utils import compat

compat.apply()  # before mmengine and the libraries that build on it

from mmengine import registry as roots

SCOPE = 'mixmae_mm'


def _child(root: roots.Registry, location: str) -> roots.Registry:
    """Create our child of one of mmengine's registries, which imports `location` on first use."""
    return roots.Registry(root.name, parent=root, scope=SCOPE, locations=[f'{SCOPE}.{location}'])


MODELS = _child(roots.MODELS, 'models')
HOOKS = _child(roots.HOOKS, 'engine.hooks')
DATASETS = _child(roots.DATASETS, 'datasets')
TRANSFORMS = _child(roots.TRANSFORMS, 'datasets')
DATA_SAMPLERS = _child(roots.DATA_SAMPLERS, 'datasets')
METRICS = _child(roots.METRICS, 'evaluation')
OPTIM_WRAPPER_CONSTRUCTORS = _child(roots.OPTIM_WRAPPER_CONSTRUCTORS, 'engine.optimizers.layer_decay')
OPTIM_WRAPPERS = _child(roots.OPTIM_WRAPPERS, 'engine.optimizers.precision')
STRATEGIES = _child(roots.STRATEGIES, 'engine.strategies')
FUNCTIONS = _child(roots.FUNCTIONS, 'engine.strategies')
VISBACKENDS = _child(roots.VISBACKENDS, 'visualization.backends')
