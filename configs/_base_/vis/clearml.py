"""Loss, pictures and features in ClearML too (`pip install clearml`).

    _base_ = ['./some_pretraining.py', '../_base_/vis/clearml.py']
    visualizer = dict(vis_backends=[*_base_.vis_backends, *_base_.clearml])

`clearml-init` once. Other settings of `clearml.Task.init` go into `init_kwargs`.
"""

clearml = [dict(type='ClearMLVisBackend', init_kwargs=dict(project_name='mixmae_mm'))]
