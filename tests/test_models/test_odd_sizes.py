"""Images whose sides fill no whole number of cells or windows, against the encoder written out token by token.

Nothing here is padded: a token is a row of a dict keyed by its (row, column), and a window is the set of keys with the
same quotients. So an error in the padding cannot stand on both sides of the comparison.
"""

import math

import pytest
import torch
from torch.nn import functional as F

from mixmae_mm.models import MixMIMSwin

ARCH = dict(embed_dims=8, depths=(1, 2, 1, 1), num_heads=(1, 2, 2, 4))
WINDOWS = (6, 4, 4, 2)


def encoder(size):
    torch.manual_seed(0)
    swin = MixMIMSwin(ARCH, img_size=size, patch_size=4, window_sizes=WINDOWS, out_indices=(0, 1, 2, 3)).eval()
    with torch.no_grad():
        for parameter in swin.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return swin


def embed(swin, image):
    """Embed an image (3, H, W); a patch that reaches beyond it sees zeros there."""
    height, width = image.shape[1:]
    tokens = {}
    for row in range(math.ceil(height / 4)):
        for column in range(math.ceil(width / 4)):
            patch = torch.zeros(3, 4, 4)
            part = image[:, row * 4 : row * 4 + 4, column * 4 : column * 4 + 4]
            patch[:, : part.shape[1], : part.shape[2]] = part
            embedding = (swin.patch_embed.proj.weight * patch).sum((1, 2, 3)) + swin.patch_embed.proj.bias
            tokens[row, column] = swin.patch_embed.norm(embedding)
    return tokens


def add_positions(swin, tokens):
    """Add the position table, resized to the grid of the image alone."""
    rows, columns = (max(place[axis] for place in tokens) + 1 for axis in (0, 1))
    table = swin.absolute_pos_embed.view(1, *swin.grid, -1).permute(0, 3, 1, 2)
    table = F.interpolate(table, (rows, columns), mode='bicubic', align_corners=False)[0]
    return {(row, column): x + table[:, row, column] for (row, column), x in tokens.items()}


def attend(attention, tokens, window):
    """Let each token see those with the same quotients, with the bias of their relative position."""
    heads, result = attention.num_heads, {}
    qkv = {place: attention.qkv(x).view(3, heads, -1) for place, x in tokens.items()}
    for place in tokens:
        near = [other for other in tokens if all(a // window == b // window for a, b in zip(place, other, strict=True))]
        parts = []
        for head in range(heads):
            logits = []
            for other in near:
                rows, columns = (place[axis] - other[axis] + window - 1 for axis in (0, 1))
                bias = attention.relative_position_bias_table[rows * (2 * window - 1) + columns, head]
                query, key = qkv[place][0, head], qkv[other][1, head]
                logits.append(query @ key / math.sqrt(len(query)) + bias)
            weights = torch.stack(logits).softmax(0)
            parts.append(sum(w * qkv[other][2, head] for w, other in zip(weights, near, strict=True)))
        result[place] = attention.proj(torch.cat(parts))
    return result


def run_block(block, tokens, window):
    seen = attend(block.attn, {place: block.norm1(x) for place, x in tokens.items()}, window)
    tokens = {place: x + seen[place] for place, x in tokens.items()}
    return {place: x + block.mlp.fc2(F.gelu(block.mlp.fc1(block.norm2(x)))) for place, x in tokens.items()}


def merge(layer, tokens):
    """Merge 2 x 2 tokens; what lies beyond the image is zero."""
    nothing = torch.zeros_like(next(iter(tokens.values())))
    merged = {}
    for row, column in {(row // 2, column // 2) for row, column in tokens}:
        four = [tokens.get((2 * row + y, 2 * column + x), nothing) for x in (0, 1) for y in (0, 1)]
        merged[row, column] = layer.reduction(layer.norm(torch.cat(four)))
    return merged


@pytest.mark.parametrize('size', [(100, 84), (50, 76), (33, 65)])
@torch.no_grad()
def test_every_map_against_tokens_one_by_one(size):
    swin, image = encoder(64), torch.randn(3, *size)
    tokens = add_positions(swin, embed(swin, image))
    for stage, (layer, found, window) in enumerate(zip(swin.layers, swin(image[None]), WINDOWS, strict=True)):
        for block in layer.blocks:
            tokens = run_block(block, tokens, window)
        norm = getattr(swin, f'norm{stage}' if stage < 3 else 'norm')
        rows, columns = found.shape[-2:]
        assert tokens.keys() == {(row, column) for row in range(rows) for column in range(columns)}
        for (row, column), x in tokens.items():
            torch.testing.assert_close(found[0, :, row, column], norm(x), rtol=1e-4, atol=1e-4)
        if stage < 3:
            tokens = merge(layer.downsample, tokens)
