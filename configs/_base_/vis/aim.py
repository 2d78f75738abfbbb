"""Loss, images and features in Aim too (`pip install aim`).

    _base_ = ['./some_pretraining.py', '../_base_/vis/aim.py']
    visualizer = dict(vis_backends=[*_base_.vis_backends, *_base_.aim])

In the folder .aim where training is started, or in the one that `init_kwargs=dict(repo=...)` names; watch with `aim up`.
"""

aim = [dict(type='AimVisBackend')]
