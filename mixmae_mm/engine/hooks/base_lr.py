"""The learning rate in logs."""

from typing import Any

from mmengine.hooks import RuntimeInfoHook
from mmengine.runner import Runner

from mixmae_mm.registry import HOOKS


@HOOKS.register_module()
class BaseRateHook(RuntimeInfoHook):
    """mmengine's hook, but what it logs as `lr` is the base rate: `optimizer.lr` times the factor of the schedule.

    mmengine takes the rate of the first parameter group, which with layer decay is that of one layer, many times lower.
    """

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Record the iteration and its learning rates."""
        runner.message_hub.update_info('iter', runner.iter)
        rates = runner.optim_wrapper.get_lr()
        base = {f'{name.removesuffix("base_lr")}lr': rate for name, rate in rates.items() if name.endswith('base_lr')}
        for name, (rate, *_) in (rates | base).items():
            runner.message_hub.update_scalar(f'train/{name}', rate)
