"""Loss, images and features in MLflow too (`pip install mlflow`).

    _base_ = ['./some_pretraining.py', '../_base_/vis/mlflow.py']
    visualizer = dict(vis_backends=[*_base_.vis_backends, *_base_.mlflow])

In files below the work_dir, or on the server that `tracking_uri` names. Of the config only the keys below become
parameters, since MLflow limits their length; the whole of it is the artifact config.py.
"""

mlflow = [
    dict(
        type='mixmae_mm.MLflowImagesBackend',
        exp_name='mixmae_mm',
        tracked_config_keys=['optim_wrapper', 'train_cfg', 'auto_scale_lr', 'randomness'],
    )
]
