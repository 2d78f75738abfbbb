"""Runtime settings that every config inherits."""

default_scope = 'mmpretrain'

# Our hooks are not in custom_hooks, because a config that sets custom_hooks (for an EMA, say) replaces the whole list.
default_hooks = dict(
    runtime_info=dict(type='mixmae_mm.BaseRateHook'),
    iteration_seed=dict(type='mixmae_mm.IterationSeedHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=100),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='mixmae_mm.AtomicCheckpointHook', interval=1, max_keep_ckpts=3),
    preemption=dict(type='mixmae_mm.PreemptionHook', minutes=30),
    run_identity=dict(type='mixmae_mm.RunIdentityHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    checkpoint_guard=dict(type='mixmae_mm.CheckpointGuardHook'),
    corrupt=dict(type='mixmae_mm.CorruptImagesHook'),
    nan_guard=dict(type='mixmae_mm.NanGuardHook'),
    progress=dict(type='mixmae_mm.ProgressHook'),
    visualization=dict(type='mmpretrain.VisualizationHook'),  # draws only with `tools/test.py --show-dir`
)

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    # Without a GPU, tools/train.py and tools/test.py use gloo instead.
    dist_cfg=dict(backend='nccl'),
)

# Configs with iteration-based schedules set by_epoch=False.
log_processor = dict(by_epoch=True)
log_level = 'INFO'

vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
visualizer = dict(type='mmpretrain.UniversalVisualizer', vis_backends=vis_backends)

# One seed for the run, varied by rank. Needed for an exact --resume (mixmae_mm/utils/seed.py).
randomness = dict(seed=0, diff_rank_seed=True)

load_from = None
resume = False
