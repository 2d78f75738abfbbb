"""Training of a MixMAE or MixedAE with a few thousand parameters, in this process, with or without monitoring hooks."""

import numpy as np
import torch
from mmengine.registry import TRANSFORMS, VISBACKENDS
from mmengine.visualization import BaseVisBackend
from PIL import Image
from tiny_mixmae import tiny_model
from training_toys import toy_config

IMAGES, BATCH = 16, 8


@TRANSFORMS.register_module(force=True)
class PackImage:
    """Pack an image without labels, as mmpretrain's PackInputs does."""

    def __call__(self, results):
        return dict(inputs=torch.from_numpy(np.ascontiguousarray(results['img'].transpose(2, 0, 1))))


@VISBACKENDS.register_module(force=True)
class ListBackend(BaseVisBackend):
    """Keep what monitoring hooks draw, fail for chosen names, and ignore training logs."""

    shown = []
    failing = ()

    experiment = property(lambda self: self.shown)

    def __init__(self, save_dir=None):
        super().__init__(save_dir)

    def _init_env(self):
        pass

    def add_config(self, config, **kwargs):
        pass

    def add_image(self, name, image, step=0, **kwargs):
        if name in self.failing:
            np.random.rand(), torch.rand(())
            raise OSError(f'no room for {name}')
        if name.startswith(('online/', 'reconstructions', 'homologous_map')):
            self.shown.append((name, image, step))

    def add_scalars(self, scalar_dict, step=0, file_path=None, **kwargs):
        for name, value in scalar_dict.items():
            self.add_image(name, value, step)


def make_images(folder, classes=('a', 'b')):
    """Write images of noise into class folders, brighter from class to class."""
    generator = np.random.default_rng(0)
    for number in range(IMAGES):
        label = number % len(classes)
        (folder / classes[label]).mkdir(parents=True, exist_ok=True)
        noise = generator.integers(0, 100, (36, 40, 3)) + 150 * label
        Image.fromarray(noise.astype(np.uint8)).save(folder / classes[label] / f'{number}.png')
    return str(folder)


def monitored_config(folder, *hooks, method=tiny_model, by_epoch=True, length=4, seeded=False):
    """Return a config of `length` epochs of two iterations each, or of as many iterations; random unless `seeded`."""
    images = folder / 'images'
    if not images.exists():
        make_images(images)
    config = toy_config(folder / 'work', by_epoch, iteration_seed=seeded)
    # seeding each sample in this process would hide what a hook has drawn
    pipeline = [
        *[dict(type='mixmae_mm.SeedSample')] * seeded,
        dict(type='mixmae_mm.LoadRandomResizedCrop', scale=32, crop_ratio_range=(0.5, 1.0)),
        dict(type='PackImage'),
    ]
    config.train_dataloader.dataset = dict(type='mixmae_mm.ImageFolder', data_root=str(images), pipeline=pipeline)
    config.train_dataloader.update(batch_size=BATCH, drop_last=True)
    config.model = method()
    config.model.backbone.drop_path_rate = 0.5
    config.train_cfg = dict(by_epoch=True, max_epochs=length) if by_epoch else dict(by_epoch=False, max_iters=length)
    config.visualizer = dict(type='Visualizer', vis_backends=[dict(type='ListBackend')])
    config.default_hooks.logger.interval = 1000
    config.default_hooks.update({f'monitor_{number}': hook for number, hook in enumerate(hooks)})
    config.log_level = 'INFO'
    return config
