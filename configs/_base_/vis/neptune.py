"""Log loss, images and features to Neptune too (`pip install neptune`).

    _base_ = ['./some_pretraining.py', '../_base_/vis/neptune.py']
    visualizer = dict(vis_backends=[*_base_.vis_backends, *_base_.neptune])

Writes to the folder .neptune; to upload instead, set `init_kwargs=dict(project=...)` and NEPTUNE_API_TOKEN.
"""

neptune = [dict(type='NeptuneVisBackend')]
