"""What the fork server imports once, so that each process of a test begins with it."""

from quick_runs import CONFIGS, make_runs_quick  # before the others: it fixes what they need

# isort: split
import gc

import mmengine.runner.runner
import mmpretrain.datasets
import mmpretrain.engine
import mmpretrain.models
import mmpretrain.visualization
import torch
import torch.utils.tensorboard
from matplotlib import figure
from mmengine.config import Config
from PIL import Image

import mixmae_mm.datasets
import mixmae_mm.engine.checks
import mixmae_mm.engine.hooks
import mixmae_mm.engine.strategies

PACKAGES = mmpretrain.datasets, mmpretrain.engine, mmpretrain.models, mmpretrain.visualization
PACKAGES += torch.utils.tensorboard, figure
PACKAGES += mixmae_mm.datasets, mixmae_mm.engine.checks, mixmae_mm.engine.hooks, mixmae_mm.engine.strategies
MICRO = 'mixmae/mixmae_mixmim-swin-micro_1xb64-coslr-40e_materials-64px.py'
make_runs_quick()
Image.init()
mmengine.runner.runner.collect_env()
Config.fromfile(f'{CONFIGS}/{MICRO}')
torch.set_num_threads(1)
gc.freeze()
