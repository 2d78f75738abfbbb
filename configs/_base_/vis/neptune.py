"""Loss, images and features in Neptune too (`pip install neptune`).

    _base_ = ['./some_pretraining.py', '../_base_/vis/neptune.py']
    visualizer = dict(vis_backends=[*_base_.vis_backends, *_base_.neptune])

As it stands it writes to the folder .neptune; `init_kwargs=dict(project=...)` with NEPTUNE_API_TOKEN set sends it.
"""

neptune = [dict(type='NeptuneVisBackend')]
