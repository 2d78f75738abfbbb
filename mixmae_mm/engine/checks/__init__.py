"""Checks before a run starts: that classes agree, loaders yield batches and metrics can be computed."""

from mixmae_mm.engine.checks.auto_classes import fill_num_classes
from mixmae_mm.engine.checks.config import check_config
from mixmae_mm.engine.checks.loaders import open_loaders

__all__ = ['check_config', 'fill_num_classes', 'open_loaders']
