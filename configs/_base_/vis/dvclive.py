"""Loss, images and features in DVCLive too (`pip install dvclive`).

    _base_ = ['./some_pretraining.py', '../_base_/vis/dvclive.py']
    visualizer = dict(vis_backends=[*_base_.vis_backends, *_base_.dvclive])

In files of the work_dir, without an experiment in the repository's history; `save_dvc_exp=True` makes one. In a DVC
repository `cache_images=True` has DVC keep the images; anywhere else it ends the run with an error.
"""

dvclive = [dict(type='DVCLiveVisBackend', init_kwargs=dict(save_dvc_exp=False, cache_images=False))]
