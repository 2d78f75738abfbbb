"""Training hooks: reproducible randomness, logging, monitoring, a NaN guard, preemption, and safe checkpoints."""

from mixmae_mm.engine.hooks.checkpoint import AtomicCheckpointHook, CheckpointGuardHook
from mixmae_mm.engine.hooks.class_subset import ClassSubsetHook
from mixmae_mm.engine.hooks.compile_backbone import CompileBackboneHook
from mixmae_mm.engine.hooks.corrupt_images import CorruptImagesHook
from mixmae_mm.engine.hooks.iteration_seed import IterationSeedHook
from mixmae_mm.engine.hooks.monitor import ReconstructionHook
from mixmae_mm.engine.hooks.nan_guard import NanGuardHook
from mixmae_mm.engine.hooks.online_evaluation import OnlineEvaluationHook
from mixmae_mm.engine.hooks.preemption import PreemptionHook
from mixmae_mm.engine.hooks.progress import BaseRateHook, ProgressHook
from mixmae_mm.engine.hooks.run_identity import RunIdentityHook

__all__ = [
    'AtomicCheckpointHook',
    'BaseRateHook',
    'CheckpointGuardHook',
    'ClassSubsetHook',
    'CompileBackboneHook',
    'CorruptImagesHook',
    'IterationSeedHook',
    'NanGuardHook',
    'OnlineEvaluationHook',
    'PreemptionHook',
    'ProgressHook',
    'ReconstructionHook',
    'RunIdentityHook',
]
