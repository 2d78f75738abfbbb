"""MAE written out plainly, apart from the package: it made tests/data/mae_pretrain_micro.pt, from random weights.

That it is MAE is itself tested, against numbers made with the official code (test_models/test_mae_parity.py).
"""

import math

import torch


def normalize(x, weights, name, eps):
    centered = x - x.mean(-1, keepdim=True)
    deviation = (centered.square().mean(-1, keepdim=True) + eps).sqrt()
    return centered / deviation * weights[f'{name}.weight'] + weights[f'{name}.bias']


def linear(x, weights, name):
    return x @ weights[f'{name}.weight'].T + weights[f'{name}.bias']


def block(x, weights, name, heads, eps):
    batch, tokens, dims = x.shape
    qkv = linear(normalize(x, weights, f'{name}.norm1', eps), weights, f'{name}.attn.qkv')
    out = []
    for head in range(heads):
        size = dims // heads
        q, k, v = (qkv[..., part * dims + head * size : part * dims + (head + 1) * size] for part in range(3))
        out.append((q @ k.transpose(1, 2) / math.sqrt(size)).softmax(-1) @ v)
    x = x + linear(torch.cat(out, -1), weights, f'{name}.attn.proj')
    hidden = linear(normalize(x, weights, f'{name}.norm2', eps), weights, f'{name}.mlp.fc1')
    return x + linear(hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2))), weights, f'{name}.mlp.fc2')


def patches_of(images, size):
    """Cut (B, C, H, W) into rows of (row, column, channel): (B, N, size * size * C)."""
    side = images.shape[-1] // size
    cut = [
        images[:, :, y * size : (y + 1) * size, x * size : (x + 1) * size].permute(0, 2, 3, 1).flatten(1)
        for y in range(side)
        for x in range(side)
    ]
    return torch.stack(cut, 1)


def reference(weights, config, images, kept):
    """Encode the patches `kept` (B, n), decode, compare: latent (B, 1 + n, D), pred (B, N, P) and the loss."""
    eps, size = config['norm_eps'], config['patch_size']
    projection = weights['patch_embed.proj.weight'].permute(0, 2, 3, 1).flatten(1)  # as the patches are ordered
    patches = patches_of(images, size)
    x = patches @ projection.T + weights['patch_embed.proj.bias'] + weights['pos_embed'][:, 1:]
    rows = torch.arange(len(x))[:, None]
    cls = (weights['cls_token'] + weights['pos_embed'][:, :1]).expand(len(x), -1, -1)
    x = torch.cat([cls, x[rows, kept]], 1)
    for number in range(config['depth']):
        x = block(x, weights, f'blocks.{number}', config['num_heads'], eps)
    latent = normalize(x, weights, 'norm', eps)

    y = linear(latent, weights, 'decoder_embed')
    full = weights['mask_token'].expand(len(x), patches.shape[1], -1).clone()
    full[rows, kept] = y[:, 1:]
    y = torch.cat([y[:, :1], full], 1) + weights['decoder_pos_embed']
    for number in range(config['decoder_depth']):
        y = block(y, weights, f'decoder_blocks.{number}', config['decoder_num_heads'], eps)
    pred = linear(normalize(y, weights, 'decoder_norm', eps), weights, 'decoder_pred')[:, 1:]

    target = (patches - patches.mean(-1, keepdim=True)) / (patches.var(-1, keepdim=True) + 1e-6).sqrt()
    errors = (pred - target).square().mean(-1)
    masked = torch.ones_like(errors, dtype=torch.bool)
    masked[rows, kept] = False
    return dict(latent=latent, pred=pred, loss=errors[masked].mean())
