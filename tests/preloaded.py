"""What the fork server imports once, so that each process of a test begins with it."""

import quick_runs  # noqa: F401  before the others: it imports mixmae_mm

# isort: split
import mmpretrain.models  # noqa: F401
import torch

import mixmae_mm.datasets
import mixmae_mm.hooks
import mixmae_mm.strategies  # noqa: F401

torch.set_num_threads(1)
