"""Any pictures, in folders, archives or databases, and loading that repeats exactly when a run is resumed."""

from mixmae_mm.datasets.directory_walk import EXTENSIONS
from mixmae_mm.datasets.huggingface import HuggingFacePictures
from mixmae_mm.datasets.image_archive import PictureArchive
from mixmae_mm.datasets.image_dataset import PictureDataset
from mixmae_mm.datasets.image_folder import PictureFolder
from mixmae_mm.datasets.image_lmdb import PictureLMDB
from mixmae_mm.datasets.samplers.seeded import SeededIndex, SeededInfiniteSampler, SeededSampler
from mixmae_mm.datasets.transforms.load_image import LoadPicture, UnreadablePictureError
from mixmae_mm.datasets.transforms.multispectral import LoadBands, LoadBandsRandomResizedCrop
from mixmae_mm.datasets.transforms.random_resized_crop import LoadRandomResizedCrop
from mixmae_mm.datasets.transforms.seed_sample import SeedSample

__all__ = [
    'EXTENSIONS',
    'HuggingFacePictures',
    'LoadBands',
    'LoadBandsRandomResizedCrop',
    'LoadPicture',
    'LoadRandomResizedCrop',
    'PictureArchive',
    'PictureDataset',
    'PictureFolder',
    'PictureLMDB',
    'SeedSample',
    'SeededIndex',
    'SeededInfiniteSampler',
    'SeededSampler',
    'UnreadablePictureError',
]
