"""Hooks for training: repeatable randomness, progress, watching, no step on NaN, whole checkpoints that fit."""

from mixmae_mm.hooks.atomic_checkpoint import AtomicBackend, AtomicCheckpointHook
from mixmae_mm.hooks.base_rate import BaseRateHook
from mixmae_mm.hooks.checkpoint_guard import CheckpointGuardHook
from mixmae_mm.hooks.compiling import CompileBackboneHook
from mixmae_mm.hooks.nan_guard import NanGuardHook
from mixmae_mm.hooks.online_evaluation import OnlineEvaluationHook
from mixmae_mm.hooks.progress import ProgressHook
from mixmae_mm.hooks.reconstruction import ReconstructionHook
from mixmae_mm.hooks.seeding import IterationSeedHook
from mixmae_mm.hooks.unreadable_list import UnreadableListHook

__all__ = [
    'AtomicBackend',
    'AtomicCheckpointHook',
    'BaseRateHook',
    'CheckpointGuardHook',
    'CompileBackboneHook',
    'IterationSeedHook',
    'NanGuardHook',
    'OnlineEvaluationHook',
    'ProgressHook',
    'ReconstructionHook',
    'UnreadableListHook',
]
