"""Runtime settings for mmdet's models."""

_base_ = './default_runtime.py'

default_scope = 'mmdet'
default_hooks = dict(visualization=dict(type='mmdet.DetVisualizationHook'))
env_cfg = dict(cudnn_benchmark=False)  # batches differ in size, so cuDNN would benchmark each anew
visualizer = dict(type='mmdet.DetLocalVisualizer')
