"""Run-time settings of mmdet's models that train for iterations rather than epochs."""

_base_ = './detection_runtime.py'

default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=5000), logger=dict(interval=50, log_metric_by_epoch=False)
)
log_processor = dict(by_epoch=False)
