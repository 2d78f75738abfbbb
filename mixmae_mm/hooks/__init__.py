"""Hooks for training: reproducible randomness, progress, compiling, and no checkpoint that is half or does not fit."""

from mixmae_mm.hooks.atomic_checkpoint import AtomicBackend, AtomicCheckpointHook
from mixmae_mm.hooks.checkpoint_guard import CheckpointGuardHook
from mixmae_mm.hooks.compiling import CompileBackboneHook
from mixmae_mm.hooks.progress import ProgressHook
from mixmae_mm.hooks.seeding import IterationSeedHook
from mixmae_mm.hooks.unreadable_list import UnreadableListHook

__all__ = [
    'AtomicBackend',
    'AtomicCheckpointHook',
    'CheckpointGuardHook',
    'CompileBackboneHook',
    'IterationSeedHook',
    'ProgressHook',
    'UnreadableListHook',
]
