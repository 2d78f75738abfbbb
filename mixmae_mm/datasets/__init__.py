"""Any folder of pictures, and loading that repeats exactly when a run is resumed."""

from mixmae_mm.datasets.cropping import LoadRandomResizedCrop
from mixmae_mm.datasets.loading import LoadPicture, UnreadablePictureError
from mixmae_mm.datasets.picture_dataset import PictureDataset
from mixmae_mm.datasets.picture_folder import PictureFolder
from mixmae_mm.datasets.samplers import SeededIndex, SeededInfiniteSampler, SeededSampler
from mixmae_mm.datasets.seed_sample import SeedSample

__all__ = [
    'LoadPicture',
    'LoadRandomResizedCrop',
    'PictureDataset',
    'PictureFolder',
    'SeedSample',
    'SeededIndex',
    'SeededInfiniteSampler',
    'SeededSampler',
    'UnreadablePictureError',
]
