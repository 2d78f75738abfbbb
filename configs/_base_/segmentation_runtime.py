"""Runtime settings for mmseg's models."""

_base_ = './default_runtime.py'

default_scope = 'mmseg'
default_hooks = dict(visualization=dict(type='mmseg.SegVisualizationHook'))
visualizer = dict(type='mmseg.SegLocalVisualizer')
tta_model = dict(type='mmseg.SegTTAModel')
