"""Runtime settings for mmseg's models that train for iterations rather than epochs."""

_base_ = './default_runtime.py'

default_scope = 'mmseg'
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=16_000),
    logger=dict(interval=50, log_metric_by_epoch=False),
    visualization=dict(type='mmseg.SegVisualizationHook'),
)
visualizer = dict(type='mmseg.SegLocalVisualizer')
tta_model = dict(type='mmseg.SegTTAModel')
log_processor = dict(by_epoch=False)
