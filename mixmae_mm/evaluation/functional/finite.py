"""A check of features before they are judged."""

import torch
from torch import Tensor


def finite(features: Tensor) -> Tensor:
    """Return features in float32 or wider; raise `ValueError` if one is not finite, which would falsify the others."""
    if not features.isfinite().all():
        raise ValueError('features are not finite: has the training diverged, or do they exceed the range of float16?')
    return features.to(torch.promote_types(features.dtype, torch.float32))
