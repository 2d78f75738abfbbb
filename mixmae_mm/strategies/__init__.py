"""Models too large for one GPU: what mmengine's strategies lack for ours.

`FlexibleRunner` takes them; configs/_base_/strategies has the settings.
"""

from mixmae_mm.strategies.fitting import fit_strategy
from mixmae_mm.strategies.sharding import ShardingStrategy, wrap_blocks

__all__ = ['ShardingStrategy', 'fit_strategy', 'wrap_blocks']
