"""Any pictures, in folders, archives or databases, and loading that repeats exactly when a run is resumed."""

from mixmae_mm.datasets.bands import LoadBands, LoadBandsRandomResizedCrop
from mixmae_mm.datasets.cropping import LoadRandomResizedCrop
from mixmae_mm.datasets.huggingface import HuggingFacePictures
from mixmae_mm.datasets.loading import LoadPicture, UnreadablePictureError
from mixmae_mm.datasets.picture_archive import PictureArchive
from mixmae_mm.datasets.picture_dataset import PictureDataset
from mixmae_mm.datasets.picture_folder import PictureFolder
from mixmae_mm.datasets.picture_lmdb import PictureLMDB
from mixmae_mm.datasets.samplers import SeededIndex, SeededInfiniteSampler, SeededSampler
from mixmae_mm.datasets.seed_sample import SeedSample
from mixmae_mm.datasets.walking import EXTENSIONS

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
