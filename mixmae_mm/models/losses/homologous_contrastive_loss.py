"""The contrastive loss of MixedAE: which features come from the same image.

Letters: G groups, N features in each, C channels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixmae_mm.models.utils.autocast import without_autocast
from mixmae_mm.registry import MODELS
from mixmae_mm.utils.validation import check_positive


@MODELS.register_module()
class HomologousContrastiveLoss(nn.Module):
    """Pull features of one label together and push the others of the group away (MixedAE, arXiv 2303.17152).

    For each feature, the mean over its positives (the others of its label) of -log softmax of their cosine similarity
    over the temperature, among all others of the group; the mean of that over features and groups. The form is that of
    supervised contrastive learning (Khosla et al. 2020); form and values are choices (docs/mixedae.md).

    Args:
        temperature: Divides the cosine similarities.
        weight: Factor of the loss.
    """

    def __init__(self, temperature: float = 0.25, weight: float = 0.1) -> None:
        super().__init__()
        check_positive(temperature=temperature, weight=weight)
        self.temperature = temperature
        self.weight = weight

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Compare features (G, N, C) by labels (G or 1, N): a scalar, computed in float32.

        Features that are alone with their label have no positives and are left out; if all are, the loss is 0.
        """
        with without_autocast(features):
            directions = F.normalize(features.float(), dim=-1)
            itself = torch.eye(labels.shape[1], dtype=torch.bool, device=labels.device)
            similarity = (directions @ directions.transpose(1, 2) / self.temperature).masked_fill(itself, float('-inf'))
            positive = (labels[:, :, None] == labels[:, None, :]) & ~itself
            counts = positive.sum(dim=-1)
            attraction = similarity.masked_fill(~positive, 0.0).sum(dim=-1) / counts.clamp(min=1)
            losses = similarity.logsumexp(dim=-1) - attraction
            anchors = (counts > 0).expand_as(losses)
            return self.weight * losses.where(anchors, 0.0).sum() / anchors.sum().clamp(min=1)
