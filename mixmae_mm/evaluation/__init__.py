"""What pre-trained features are worth, told without fine-tuning."""

from mixmae_mm.datasets.walking import class_folders
from mixmae_mm.evaluation.labelled_pictures import extract, label_by_folder, read_labelled
from mixmae_mm.evaluation.neighbours import knn_accuracy
from mixmae_mm.evaluation.probe import probe_accuracy
from mixmae_mm.evaluation.splits import split_labelled
from mixmae_mm.evaluation.spread import feature_spread, mean_cosine, rank_me

__all__ = [
    'class_folders',
    'extract',
    'feature_spread',
    'knn_accuracy',
    'label_by_folder',
    'mean_cosine',
    'probe_accuracy',
    'rank_me',
    'read_labelled',
    'split_labelled',
]
