"""Models too large for one GPU: what mmengine's strategies lack for ours.

`FlexibleRunner` takes them; configs/_base_/strategies has the settings.
"""

from mixmae_mm.strategies.fitting import find_strategy, fit_strategy, leave_strategy
from mixmae_mm.strategies.rates import scale_rate
from mixmae_mm.strategies.sharding import ShardingStrategy, wrap_blocks

__all__ = ['ShardingStrategy', 'find_strategy', 'fit_strategy', 'leave_strategy', 'scale_rate', 'wrap_blocks']
