"""Time a pre-training step, forward and backward, of our MixMAE beside mmpretrain's MixMIM: base, 224 px.

    python tools/benchmarks/pretrain_step.py [--threads 2] [--batch 8] [--repeats 5]

Both models run alternately in one process, in float32 and under bfloat16 autocast; medians and the ratio are printed.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import mixmae_mm  # before the host packages: it mends what is known to break on import

# isort: split
import torch
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor, nn

OURS = dict(
    type='mixmae_mm.MixMAE',
    data_preprocessor=dict(type='mixmae_mm.MixingDataPreprocessor'),
    backbone=dict(type='mixmae_mm.MixMIMSwin', arch='base'),
    neck=dict(type='mixmae_mm.MixDecoder', in_channels=1024),
    head=dict(type='mixmae_mm.MixReconstructionHead'),
)
PEER = dict(
    type='mmpretrain.MixMIM',
    backbone=dict(type='MixMIMPretrainTransformer', arch='B', drop_rate=0.0, drop_path_rate=0.0),
    neck=dict(type='MixMIMPretrainDecoder', num_patches=49, encoder_stride=32, embed_dim=1024),
    head=dict(type='MixMIMPretrainHead', norm_pix=True, loss=dict(type='PixelReconstructionLoss', criterion='L2')),
)


def seconds(model: nn.Module, loss: Callable[[], Tensor], half: bool) -> float:
    """Time one forward and backward pass."""
    start = time.perf_counter()
    with torch.autocast('cpu', torch.bfloat16, enabled=half):
        value = loss()
    value.backward()
    passed = time.perf_counter() - start
    model.zero_grad()
    return passed


def main() -> None:
    """Print both medians and their ratio."""
    parser = argparse.ArgumentParser(description=f'Pre-training step (mixmae_mm {mixmae_mm.__version__})')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--batch', type=int, default=8)
    parser.add_argument('--repeats', type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    init_default_scope('mmpretrain')
    ours, peer = (MODELS.build(settings).train() for settings in (OURS, PEER))
    images = torch.randn(args.batch, 3, 224, 224)
    losses = {
        ours: lambda: ours.loss(ours.data_preprocessor.mix(images))['loss_reconstruction'],
        peer: lambda: peer.loss(images, [])['loss'],
    }
    for half in (False, True):
        times = [[seconds(*pair, half) for pair in losses.items()] for _ in range(args.repeats + 1)][1:]
        mine, theirs = (statistics.median(column) for column in zip(*times, strict=True))
        name = 'bfloat16' if half else 'float32'
        print(f'{name}: ours {mine:.2f} s, mmpretrain {theirs:.2f} s, {theirs / mine:.2f} times as fast', flush=True)


if __name__ == '__main__':
    main()
