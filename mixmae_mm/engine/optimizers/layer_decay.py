"""Layer-wise learning rate decay."""

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from mixmae_mm.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Learning rates that decay from the head to the patch embedding, for models of mmpretrain, mmdet and mmseg.

    The backbone gives the depth of each parameter by `get_layer_depth`. As in the official MixMIM and MAE,
    one-dimensional parameters (biases, norms) get no weight decay; all others do, except those in `no_decay`. Unknown
    or invalid settings, and a backbone without `get_layer_depth`, raise ValueError.

    `paramwise_cfg` takes:
        layer_decay_rate: Factor from one layer to the layer below; 1 leaves all learning rates unchanged. Required.
        head_decay: Whether parameters outside the backbone get the rate of its last block, which is below the base
            rate (the official rule); otherwise they train at the base rate.
        no_decay: Substrings of names; matching parameters get no weight decay, such as `relative_position_bias_table`.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        settings = dict(paramwise_cfg or {})
        if not {'layer_decay_rate'} <= set(settings) <= {'layer_decay_rate', 'head_decay', 'no_decay'}:
            raise ValueError(
                'paramwise_cfg takes layer_decay_rate (required), head_decay and no_decay, got '
                f'{sorted(settings) or "nothing"}'
            )
        super().__init__(optim_wrapper_cfg, settings)
        self.layer_decay_rate, self.head_decay = settings['layer_decay_rate'], settings.get('head_decay', True)
        self.no_decay = settings.get('no_decay', ())
        if not self.layer_decay_rate > 0 or isinstance(self.no_decay, str):
            raise ValueError(
                f'layer_decay_rate must be above 0 and no_decay a list of name parts, got {self.layer_decay_rate} '
                f'and {self.no_decay!r}'
            )

    def add_params(self, params: list[dict], module: nn.Module, **kwargs: object) -> None:
        """Add the parameter groups of a model to `params`, one for each pair of scale and weight decay."""
        groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                spared = parameter.ndim <= 1 or name.endswith('.bias') or any(part in name for part in self.no_decay)
                groups.setdefault((self._scale(module, name), not spared), []).append(parameter)
        for (scale, decayed), members in sorted(groups.items()):
            group = {'params': members, 'lr': self.base_lr * scale, 'lr_scale': scale}
            params.append(group if decayed else {**group, 'weight_decay': 0.0})

    def _scale(self, model: nn.Module, name: str) -> float:
        """Return the factor by which a parameter's learning rate is scaled."""
        if self.layer_decay_rate == 1:
            return 1.0
        if not name.startswith('backbone.'):
            return self.layer_decay_rate if self.head_decay else 1.0
        if not hasattr(model.backbone, 'get_layer_depth'):
            raise ValueError(
                f'layer_decay_rate {self.layer_decay_rate} needs a backbone with get_layer_depth(name, prefix), which '
                f'{type(model.backbone).__name__} lacks: set layer_decay_rate=1.0, or add the method'
            )
        layer, num_layers = model.backbone.get_layer_depth(name, 'backbone.')
        return self.layer_decay_rate ** (num_layers - 1 - layer)
