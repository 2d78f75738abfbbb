"""The contrastive loss of MixedAE: features from the same image attract each other.

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
    """Supervised contrastive loss (Khosla et al. 2020) within each group, for MixedAE (arXiv 2303.17152).

    The positives of a feature are the other features with its label, its negatives the rest of the group. Cosine
    similarities are divided by `temperature`; the loss is averaged over positives, features and groups, then multiplied
    by `weight`. Its form and default values are our choices, not the paper's (docs/mixedae.md).
    """

    def __init__(self, temperature: float = 0.25, weight: float = 0.1) -> None:
        super().__init__()
        check_positive(temperature=temperature, weight=weight)
        self.temperature = temperature
        self.weight = weight

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss of features (G, N, C) with labels (G or 1, N): a scalar, computed in float32.

        Features without positives are left out; if no feature has any, the loss is 0.
        """
        with without_autocast(features):
            directions = F.normalize(features.float(), dim=-1)
            diagonal = torch.eye(labels.shape[1], dtype=torch.bool, device=labels.device)
            similarity = (directions @ directions.transpose(1, 2) / self.temperature).masked_fill(
                diagonal, float('-inf')
            )
            positive = (labels[:, :, None] == labels[:, None, :]) & ~diagonal
            counts = positive.sum(dim=-1)
            attraction = similarity.masked_fill(~positive, 0.0).sum(dim=-1) / counts.clamp(min=1)
            losses = similarity.logsumexp(dim=-1) - attraction
            anchors = (counts > 0).expand_as(losses)
            return self.weight * losses.where(anchors, 0.0).sum() / anchors.sum().clamp(min=1)
