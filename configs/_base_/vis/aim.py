"""Log loss, images and features to Aim too (`pip install aim`).

    _base_ = ['./some_pretraining.py', '../_base_/vis/aim.py']
    visualizer = dict(vis_backends=[*_base_.vis_backends, *_base_.aim])

Writes to .aim where training is started, or to the folder given by `init_kwargs=dict(repo=...)`; watch with `aim up`.
"""

aim = [dict(type='AimVisBackend')]
