"""What the fork server imports once, so that each process of a test begins with it."""

from quick_runs import make_runs_quick  # before the others: it fixes what they need

# isort: split
import mmpretrain.models
import torch

import mixmae_mm.datasets
import mixmae_mm.engine.hooks
import mixmae_mm.engine.strategies

PACKAGES = mmpretrain.models, mixmae_mm.datasets, mixmae_mm.engine.hooks, mixmae_mm.engine.strategies
make_runs_quick()
torch.set_num_threads(1)
