"""Sharding of models too large for one GPU, by mmengine's strategies, and learning rates scaled to the batch."""

from mixmae_mm.engine.strategies.fsdp import ShardingStrategy, wrap_blocks
from mixmae_mm.engine.strategies.settings import fit_strategy, scale_rate

__all__ = ['ShardingStrategy', 'fit_strategy', 'scale_rate', 'wrap_blocks']
