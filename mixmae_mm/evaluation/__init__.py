"""What pre-trained features are worth, told without fine-tuning."""

from mixmae_mm.evaluation.labelled_pictures import class_folders, extract, open_pictures
from mixmae_mm.evaluation.neighbours import knn_accuracy

__all__ = ['class_folders', 'extract', 'knn_accuracy', 'open_pictures']
