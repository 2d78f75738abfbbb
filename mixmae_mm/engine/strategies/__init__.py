"""Models too large for one GPU: what mmengine's strategies lack for ours, and learning rates for any batch."""

from mixmae_mm.engine.strategies.fsdp import ShardingStrategy, wrap_blocks
from mixmae_mm.engine.strategies.settings import fit_strategy, scale_rate

__all__ = ['ShardingStrategy', 'fit_strategy', 'scale_rate', 'wrap_blocks']
