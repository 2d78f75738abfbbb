"""Evaluation of pre-trained features without fine-tuning."""

from mixmae_mm.datasets.file_list import class_folders
from mixmae_mm.evaluation.corruption_error import CorruptionError
from mixmae_mm.evaluation.dense import evaluate_dense, normalize_patches
from mixmae_mm.evaluation.functional.dense_probe import NeighborProbe, RidgeProbe
from mixmae_mm.evaluation.functional.feature_stats import feature_std, mean_cosine, rank_me
from mixmae_mm.evaluation.functional.few_labels import Few, few_label_accuracy
from mixmae_mm.evaluation.functional.knn import knn_accuracy
from mixmae_mm.evaluation.functional.linear_probe import probe_accuracy
from mixmae_mm.evaluation.labeled_images import extract, label_by_folder, read_labeled, split_labeled
from mixmae_mm.evaluation.masked_images import count_classes, pair_masks, read_masked, split_masked
from mixmae_mm.evaluation.reports import report_accuracy, report_segmentation

__all__ = [
    'CorruptionError',
    'Few',
    'NeighborProbe',
    'RidgeProbe',
    'class_folders',
    'count_classes',
    'evaluate_dense',
    'extract',
    'feature_std',
    'few_label_accuracy',
    'knn_accuracy',
    'label_by_folder',
    'mean_cosine',
    'normalize_patches',
    'pair_masks',
    'probe_accuracy',
    'rank_me',
    'read_labeled',
    'read_masked',
    'report_accuracy',
    'report_segmentation',
    'split_labeled',
    'split_masked',
]
