"""Models too large for one GPU: what mmengine's strategies lack for ours.

`FlexibleRunner` takes them; configs/_base_/strategies has the settings.
"""

from mixmae_mm.strategies.fitting import find_strategy, fit_strategy, leave_strategy
from mixmae_mm.strategies.sharding import ShardingStrategy, wrap_blocks

__all__ = ['ShardingStrategy', 'find_strategy', 'fit_strategy', 'leave_strategy', 'wrap_blocks']
