"""Images in folders and Hugging Face datasets, loaded so that a resumed run repeats exactly."""

from mixmae_mm.datasets.file_list import EXTENSIONS
from mixmae_mm.datasets.huggingface import HuggingFaceImages
from mixmae_mm.datasets.image_dataset import ImageFolder
from mixmae_mm.datasets.samplers.seeded import SeededIndex, SeededInfiniteSampler, SeededSampler
from mixmae_mm.datasets.transforms.load_image import CorruptImageError, LoadImage
from mixmae_mm.datasets.transforms.load_weights import LoadWeights
from mixmae_mm.datasets.transforms.multispectral import LoadMultispectral, LoadMultispectralRandomResizedCrop
from mixmae_mm.datasets.transforms.random_resized_crop import LoadRandomResizedCrop
from mixmae_mm.datasets.transforms.seed_sample import SeedSample

__all__ = [
    'EXTENSIONS',
    'CorruptImageError',
    'HuggingFaceImages',
    'ImageFolder',
    'LoadImage',
    'LoadMultispectral',
    'LoadMultispectralRandomResizedCrop',
    'LoadRandomResizedCrop',
    'LoadWeights',
    'SeedSample',
    'SeededIndex',
    'SeededInfiniteSampler',
    'SeededSampler',
]
