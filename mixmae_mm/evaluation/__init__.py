"""Evaluation of pre-trained features without fine-tuning."""

from mixmae_mm.datasets.file_list import class_folders
from mixmae_mm.evaluation.functional.feature_stats import feature_std, mean_cosine, rank_me
from mixmae_mm.evaluation.functional.knn import knn_accuracy
from mixmae_mm.evaluation.functional.linear_probe import probe_accuracy
from mixmae_mm.evaluation.labeled_images import extract, label_by_folder, read_labeled, split_labeled

__all__ = [
    'class_folders',
    'extract',
    'feature_std',
    'knn_accuracy',
    'label_by_folder',
    'mean_cosine',
    'probe_accuracy',
    'rank_me',
    'read_labeled',
    'split_labeled',
]
