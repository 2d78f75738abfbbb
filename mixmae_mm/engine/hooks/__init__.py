"""Hooks for training: repeatable randomness, progress, monitoring, no step on NaN, atomic checkpoints that fit."""

from mixmae_mm.engine.hooks.atomic_checkpoint import AtomicBackend, AtomicCheckpointHook
from mixmae_mm.engine.hooks.base_lr import BaseRateHook
from mixmae_mm.engine.hooks.checkpoint_guard import CheckpointGuardHook
from mixmae_mm.engine.hooks.compile_backbone import CompileBackboneHook
from mixmae_mm.engine.hooks.corrupt_images import CorruptImagesHook
from mixmae_mm.engine.hooks.iteration_seed import IterationSeedHook
from mixmae_mm.engine.hooks.nan_guard import NanGuardHook
from mixmae_mm.engine.hooks.online_evaluation import OnlineEvaluationHook
from mixmae_mm.engine.hooks.progress import ProgressHook
from mixmae_mm.engine.hooks.reconstruction_visualization import ReconstructionHook

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
    'CorruptImagesHook',
]
