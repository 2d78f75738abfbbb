"""Runtime settings for mmdet's models that train for iterations rather than epochs."""

_base_ = './default_runtime.py'

default_scope = 'mmdet'
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=5000),
    logger=dict(interval=50, log_metric_by_epoch=False),
    visualization=dict(type='mmdet.DetVisualizationHook'),
)
env_cfg = dict(cudnn_benchmark=False)  # batches differ in size, so cuDNN would benchmark each anew
visualizer = dict(type='mmdet.DetLocalVisualizer')
log_processor = dict(by_epoch=False)
