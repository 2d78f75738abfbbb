"""Log loss, images and features to ClearML too (`pip install clearml`).

    _base_ = ['./some_pretraining.py', '../_base_/vis/clearml.py']
    visualizer = dict(vis_backends=[*_base_.vis_backends, *_base_.clearml])

Run `clearml-init` once, or set CLEARML_OFFLINE_MODE=1. Other settings of `clearml.Task.init` go into `init_kwargs`. A
run can take up to five minutes to end: ClearML (2.1.12) looks up the git repository in a thread, and waits if a loader
worker is forked at that moment.
"""

clearml = [dict(type='ClearMLVisBackend', init_kwargs=dict(project_name='mixmae_mm'))]
