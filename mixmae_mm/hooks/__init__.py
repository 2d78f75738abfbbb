"""Hooks for training: reproducible randomness, progress, compiling, and no checkpoint that does not fit."""

from mixmae_mm.hooks.checkpoint_guard import CheckpointGuardHook
from mixmae_mm.hooks.compiling import CompileBackboneHook
from mixmae_mm.hooks.progress import ProgressHook
from mixmae_mm.hooks.seeding import IterationSeedHook

__all__ = ['CheckpointGuardHook', 'CompileBackboneHook', 'IterationSeedHook', 'ProgressHook']
