"""Log loss, images and features to TensorBoard, which default_runtime.py already does.

    _base_ = ['./some_pretraining.py', '../_base_/vis/tensorboard.py']
    visualizer = dict(vis_backends=[*_base_.vis_backends, *_base_.tensorboard])

Watch with `tensorboard --logdir work_dirs`. The lines above are for configs whose `vis_backends` leave it out.
"""

tensorboard = [dict(type='TensorboardVisBackend')]
