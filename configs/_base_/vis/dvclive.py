"""Log loss, images and features to DVCLive too (`pip install dvclive`).

    _base_ = ['./some_pretraining.py', '../_base_/vis/dvclive.py']
    visualizer = dict(vis_backends=[*_base_.vis_backends, *_base_.dvclive])

Writes to the work_dir, without an experiment in the repository's history; `save_dvc_exp=True` creates one. In a DVC
repository, `cache_images=True` tracks the images with DVC; anywhere else it ends the run with an error.
"""

dvclive = [dict(type='DVCLiveVisBackend', init_kwargs=dict(save_dvc_exp=False, cache_images=False))]
