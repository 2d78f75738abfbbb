"""Sharding of a model among processes by PyTorch's FSDP, as mmengine uses it."""

from mmengine._strategy import FSDPStrategy
from mmengine.device import get_device
from mmengine.dist import all_gather_object
from mmengine.optim import BaseOptimWrapper
from torch import Tensor, device, nn
from torch.distributed import fsdp
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.nn.utils import clip_grad_norm_

from mixmae_mm.models.utils.layers import Block
from mixmae_mm.models.utils.token_layouts import LAYOUTS
from mixmae_mm.registry import FUNCTIONS, STRATEGIES

WRAPPERS = '_fsdp_wrapped_module.', '_checkpoint_wrapped_module.'
BY_WHOLE_TENSORS = 'LARS', 'LAMB', 'LAMBMM', 'ADAFACTOR'


@FUNCTIONS.register_module()
def wrap_blocks(module: nn.Module, recurse: bool, nonwrapped_numel: int) -> bool:
    """Return whether FSDP wraps or enters a module: each block (ours or a library's) is one unit, the rest another."""
    return recurse or isinstance(module, Block) or _is_stock_block(module)


def _is_stock_block(module: nn.Module) -> bool:
    """Return whether a module is a library's block: an attention in `LAYOUTS` and an MLP, in one class or in two."""
    if isinstance(module, nn.ModuleList | nn.Sequential):
        return False
    attends = (type(part).__name__ in LAYOUTS for part in module.children())
    return any(attends) or (type(module).__name__ in LAYOUTS and hasattr(module, 'mlp'))


def plain_name(name: str) -> str:
    """Return the name of a module or parameter without the names of its wrappers."""
    for wrapper in WRAPPERS:
        name = name.replace(wrapper, '').removesuffix(wrapper[:-1])
    return name.removesuffix('.')


@STRATEGIES.register_module()
class ShardingStrategy(FSDPStrategy):
    """mmengine's `FSDPStrategy`, extended to run on CPUs and to share checkpoints with unsharded runs.

    The original decides on weight decay by the shapes of shards, which are flat, clips by the norms of shards, stores
    the optimizer's parameters in a different order, and cannot resume with current versions of PyTorch. Settings that
    would make checkpoints incomplete raise ValueError.

    Args:
        model_wrapper: Arguments of `MMFullyShardedDataParallel`, such as `auto_wrap_policy` and `sharding_strategy`.
        kwargs: Arguments of mmengine's `FSDPStrategy`; `state_dict_cfg` is 'full'.
    """

    def __init__(self, *, model_wrapper: dict | None = None, **kwargs: object) -> None:
        wrapper = dict(type='MMFullyShardedDataParallel', **(model_wrapper or {}))
        on_cpu = get_device() == 'cpu'
        if on_cpu:
            wrapper['device_id'] = device('cpu')
        super().__init__(model_wrapper=wrapper, **{'state_dict_cfg': 'full', **kwargs})
        if not self._is_full_state_dict() or not wrapper.get('use_orig_params', True):
            raise ValueError(
                'ShardingStrategy writes whole checkpoints of parameters by name: leave out state_dict_cfg (got '
                f'{kwargs.get("state_dict_cfg", "nothing")}) and use_orig_params'
            )
        if on_cpu:  # offloading to a CPU would free what is already there (pytorch/pytorch#188989)
            self.state_dict_config = fsdp.FullStateDictConfig(rank0_only=True)
            self.optim_state_dict_config = fsdp.FullOptimStateDictConfig(rank0_only=True)

    def prepare(self, model: nn.Module | dict, *, optim_wrapper: dict | None = None, **kwargs: object) -> tuple:
        """Prepare model, optimizer and schedulers; the optimizer is built before the model is sharded."""
        self._wanted = optim_wrapper
        return super().prepare(model, optim_wrapper=optim_wrapper, **kwargs)

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        """Build the optimizer from the parameters' original names and shapes, then shard the model."""
        if self._wanted is not None:
            self._built = super().build_optim_wrapper(self._wanted, model)
            names = {id(parameter): name for name, parameter in model.named_parameters()}
            groups = self._built.optimizer.param_groups
            self._groups = [[names[id(parameter)] for parameter in group['params']] for group in groups]
            self._names = sum(self._groups, [])  # in the optimizer's order: its state refers to parameters by index
        return super()._wrap_model(model)

    def build_optim_wrapper(self, optim_wrapper: dict, model: nn.Module | None = None) -> BaseOptimWrapper:
        """Return the optimizer wrapper built before sharding, with this process's shards as its parameters."""
        optimizer = self._built.optimizer
        if optimizer.state or type(optimizer).__name__.upper() in BY_WHOLE_TENSORS:
            raise ValueError(
                f'{type(optimizer).__name__} needs whole tensors, of which each process has a part under FSDP: use an '
                'element-wise optimizer, such as AdamW or SGD, or train without the strategy'
            )
        shards = {plain_name(name): parameter for name, parameter in model.named_parameters()}
        for group, names in zip(optimizer.param_groups, self._groups, strict=True):
            group['params'] = [shards[name] for name in names]
        if getattr(self._built, 'clip_func', None) is clip_grad_norm_:
            # the norm of the whole gradient, not of this process's shards
            self._built.clip_func = lambda _, max_norm, norm_type=2.0: model.clip_grad_norm_(max_norm, norm_type)
        return self._built

    def load_checkpoint(self, filename: str, **kwargs: object) -> dict:
        """Load a checkpoint to the CPU, which has room for all of it."""
        return super().load_checkpoint(filename, **{**kwargs, 'map_location': 'cpu'})

    def optim_state_dict(self) -> dict:
        """Return the optimizer's state dict as without sharding; only on rank 0 does it hold any state."""
        ours, states = self.optim_wrapper.state_dict(), {}
        for key in sorted(set().union(*all_gather_object({key for state in ours['state'].values() for key in state}))):
            for name, state in self._gather(ours, key).items():
                states.setdefault(self._names.index(name), {}).update(state)
        return ours | {'state': states}

    def _gather(self, ours: dict, key: str) -> dict[str, dict[str, Tensor]]:
        """Gather one entry of the optimizer's state by parameter name; clone it, as PyTorch gathers into one buffer."""
        only = {number: {key: state[key]} for number, state in ours['state'].items() if key in state}
        alone = {'state': only, 'param_groups': ours['param_groups']}
        whole = FullyShardedDataParallel.optim_state_dict(self.model, self.optim_wrapper.optimizer, alone)
        return {name: {key: state[key].clone()} for name, state in whole.get('state', {}).items()}

    def load_optim_state_dict(self, state_dict: dict) -> None:
        """Load the optimizer's state from any run of this model and optimizer, sharded or not."""
        groups = state_dict['param_groups']
        named = {
            'state': {self._names[number]: state for number, state in state_dict['state'].items()},
            'param_groups': [group | {'params': [self._names[i] for i in group['params']]} for group in groups],
        }
        shards = FullyShardedDataParallel.optim_state_dict_to_load(self.model, self.optim_wrapper.optimizer, named)
        self.optim_wrapper.load_state_dict(state_dict | shards)
