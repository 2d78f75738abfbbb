"""MAE written out plainly, apart from the package: it made tests/data/mae_pretrain_micro.pt.

    python tests/mae_reference.py    # makes the file anew, from seed 0

That it is MAE is itself tested, against numbers made with the official code (test_models/test_mae_parity.py).
"""

import math
from pathlib import Path

import torch

MICRO = dict(
    img_size=32,
    patch_size=8,
    embed_dim=16,
    depth=2,
    num_heads=2,
    decoder_embed_dim=12,
    decoder_depth=1,
    decoder_num_heads=2,
    norm_eps=1e-6,
    mask_ratio=0.75,
)


def normalize(x, weights, name, eps):
    centered = x - x.mean(-1, keepdim=True)
    spread = (centered.square().mean(-1, keepdim=True) + eps).sqrt()
    return centered / spread * weights[f'{name}.weight'] + weights[f'{name}.bias']


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
    hidden = torch.ones_like(errors, dtype=torch.bool)
    hidden[rows, kept] = False
    return dict(latent=latent, pred=pred, loss=errors[hidden].mean())


def random_weights(config):
    """Draw weights of every name and shape in MAE's layout, the position tables as well."""
    dims, narrow = config['embed_dim'], config['decoder_embed_dim']
    size, tokens = config['patch_size'], (config['img_size'] // config['patch_size']) ** 2 + 1
    shapes = dict(cls_token=(1, 1, dims), mask_token=(1, 1, narrow))
    shapes |= {'pos_embed': (1, tokens, dims), 'decoder_pos_embed': (1, tokens, narrow)}
    shapes |= {'patch_embed.proj.weight': (dims, 3, size, size), 'patch_embed.proj.bias': (dims,)}
    layers = dict(norm=dims, decoder_norm=narrow)
    linears = dict(decoder_embed=(narrow, dims), decoder_pred=(size * size * 3, narrow))
    for stem, depth, width in (('blocks', config['depth'], dims), ('decoder_blocks', config['decoder_depth'], narrow)):
        for name in (f'{stem}.{number}' for number in range(depth)):
            layers |= {f'{name}.norm1': width, f'{name}.norm2': width}
            linears |= {f'{name}.attn.qkv': (3 * width, width), f'{name}.attn.proj': (width, width)}
            linears |= {f'{name}.mlp.fc1': (4 * width, width), f'{name}.mlp.fc2': (width, 4 * width)}
    for name, width in layers.items():
        shapes |= {f'{name}.weight': (width,), f'{name}.bias': (width,)}
    for name, shape in linears.items():
        shapes |= {f'{name}.weight': shape, f'{name}.bias': shape[:1]}
    weights = {name: 0.1 * torch.randn(shape) for name, shape in shapes.items()}
    return {name: w + 1 if 'norm' in name and name.endswith('weight') else w for name, w in weights.items()}


def make(path):
    torch.manual_seed(0)
    weights = random_weights(MICRO)
    images = torch.randn(2, 3, MICRO['img_size'], MICRO['img_size'])
    cells = (MICRO['img_size'] // MICRO['patch_size']) ** 2
    order = torch.rand(2, cells).argsort(1)
    kept = order[:, : int(cells * (1 - MICRO['mask_ratio']))]
    trained = {n: w.requires_grad_() for n, w in weights.items() if n not in ('pos_embed', 'decoder_pos_embed')}
    result = reference(weights, MICRO, images, kept)
    result['loss'].backward()
    torch.save(
        dict(
            source='tests/mae_reference.py, float32',
            config=MICRO,
            state_dict={name: w.detach() for name, w in weights.items()},
            images=images,
            mask=torch.ones(2, cells).scatter(1, kept, 0.0),
            ids_restore=order.argsort(1),
            **{name: value.detach() for name, value in result.items()},
            grad_norms={name: w.grad.norm().item() for name, w in trained.items()},
        ),
        path,
    )


if __name__ == '__main__':
    make(Path(__file__).parent / 'data/mae_pretrain_micro.pt')
