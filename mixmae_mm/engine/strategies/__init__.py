"""Models too large for one GPU: what mmengine's strategies lack for ours.

`FlexibleRunner` takes them; configs/_base_/strategies has the settings.
"""

from mixmae_mm.engine.strategies.deepspeed import find_strategy, fit_strategy, leave_strategy
from mixmae_mm.engine.strategies.fsdp import ShardingStrategy, wrap_blocks
from mixmae_mm.engine.strategies.lr_scaling import scale_rate

__all__ = ['ShardingStrategy', 'find_strategy', 'fit_strategy', 'leave_strategy', 'scale_rate', 'wrap_blocks']
