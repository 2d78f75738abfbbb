"""Log loss, images and features to MLflow too (`pip install mlflow`).

    _base_ = ['./some_pretraining.py', '../_base_/vis/mlflow.py']
    visualizer = dict(vis_backends=[*_base_.vis_backends, *_base_.mlflow])

Writes to the work_dir, or to the server given by `tracking_uri`. Only the config keys below become parameters, since
MLflow limits their length; the whole config is stored as the artifact config.py.
"""

mlflow = [
    dict(
        type='mixmae_mm.MLflowImagesBackend',
        exp_name='mixmae_mm',
        tracked_config_keys=['optim_wrapper', 'train_cfg', 'auto_scale_lr', 'randomness'],
    )
]
