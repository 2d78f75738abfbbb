"""Run-time settings of mmdet's models."""

_base_ = './default_runtime.py'

default_scope = 'mmdet'
default_hooks = dict(visualization=dict(type='mmdet.DetVisualizationHook'))
env_cfg = dict(cudnn_benchmark=False)  # batches differ in size: cuDNN would search anew for each
visualizer = dict(type='mmdet.DetLocalVisualizer')
