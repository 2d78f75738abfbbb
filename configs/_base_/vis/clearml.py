"""Loss, images and features in ClearML too (`pip install clearml`).

    _base_ = ['./some_pretraining.py', '../_base_/vis/clearml.py']
    visualizer = dict(vis_backends=[*_base_.vis_backends, *_base_.clearml])

`clearml-init` once, or CLEARML_OFFLINE_MODE=1. Other settings of `clearml.Task.init` go into `init_kwargs`. The end of a
run may wait up to five minutes: ClearML (2.1.12) looks the git repository up in a thread, and a loader worker that is
forked at that moment keeps it waiting.
"""

clearml = [dict(type='ClearMLVisBackend', init_kwargs=dict(project_name='mixmae_mm'))]
