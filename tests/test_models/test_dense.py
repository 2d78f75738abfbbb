"""Encoders on large images and padded batches: the same features alone or padded, windows, wide windows."""

import pytest
import torch
from torch.nn import functional as F

from mixmae_mm.models import MixingViT, MixMIMSwin, ViTPyramid
from mixmae_mm.models.utils.padding import blank_pixels, image_sizes, place_pos_embed
from mixmae_mm.models.utils.pos_embed import resize_pos_embed

PAD = -1000.0
SWIN = dict(arch=dict(embed_dims=8, depths=(1, 1, 2, 1), num_heads=(1, 1, 2, 2)), img_size=256)
VIT = dict(arch=dict(embed_dims=16, depth=3, num_heads=2), img_size=64)


def swin(**settings):
    torch.manual_seed(0)
    defaults = dict(window_sizes=(8, 8, 8, 4), out_indices=(0, 1, 2, 3), pad_value=PAD)
    return blur_norms(MixMIMSwin(**SWIN | defaults | settings))


def vit(**settings):
    torch.manual_seed(0)
    return blur_norms(MixingViT(**VIT | dict(out_indices=(0, 2), pad_value=PAD) | settings))


def blur_norms(encoder):
    """Move all that starts at 0 or 1, so that nothing hides behind it."""
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return encoder.eval()


ENCODERS = {
    'swin': swin,
    'wide swin': lambda: swin(wide_blocks=(1,), wide_window=12),
    'vit': vit,
    'windowed vit': lambda: vit(window_size=5, global_blocks=(1,)),
}


SIZES = [(83, 125), (160, 70), (16, 16), (131, 171), (33, 65)]
STRIDES = {'win': (4, 8, 16, 32), 'vit': (16, 16)}


def batch(images, canvas):
    return torch.stack([F.pad(x, (0, canvas[1] - x.shape[2], 0, canvas[0] - x.shape[1]), value=PAD) for x in images])


@pytest.mark.parametrize('name', ENCODERS)
@pytest.mark.parametrize('canvas', [(160, 192), (176, 171)])
def test_features_do_not_depend_on_padding(name, canvas):
    """Merged tokens belong to an image if their first one does, so that its last row and column have features."""
    encoder, images = ENCODERS[name](), [torch.randn(3, *size) for size in SIZES]
    with torch.no_grad():
        together = encoder(batch(images, canvas))
        for index, image in enumerate(images):
            for padded, alone, stride in zip(together, encoder(image[None]), STRIDES[name[-3:]], strict=False):
                height, width = (-(-side // stride) for side in image.shape[1:])
                assert alone.shape[-2:] == (height, width)
                assert alone.any(dim=1).all()
                torch.testing.assert_close(padded[index, :, :height, :width], alone[0], rtol=1e-4, atol=1e-5)
                outside = padded[index].clone()
                outside[:, :height, :width] = 0
                assert not outside.any()


def test_pooling_leaves_padding_out():
    encoder = vit(out_indices=(2,), out_type='avg_featmap')
    encoder.fc_norm = torch.nn.Identity()  # which would not see a factor
    images = [torch.randn(3, 64, 40), torch.randn(3, 128, 128)]
    with torch.no_grad():
        together = encoder(batch(images, (128, 128)))[0]
        alone = torch.cat([encoder(image[None])[0] for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_pooling_leaves_padding_out_in_half_precision(dtype):
    encoder, images = vit(out_type='avg_featmap', out_indices=(2,)), [torch.randn(3, *size) for size in SIZES[:2]]
    (expected,) = encoder(batch(images, (160, 192)))
    (pooled,) = encoder.to(dtype)(batch(images, (160, 192)).to(dtype))
    assert pooled.dtype == dtype
    torch.testing.assert_close(pooled.float(), expected, atol=0.1, rtol=0.05)


def test_images_are_measured_by_their_padding():
    images = torch.full((3, 2, 6, 8), PAD)
    images[0, 1, :4, :5] = 1.0
    images[1, 0, 5, 7] = PAD + 1
    assert image_sizes(images, PAD).tolist() == [[4, 5], [6, 8], [6, 8]]  # the last holds nothing: taken as whole
    assert image_sizes(images, None) == (6, 8)
    assert image_sizes(torch.randn(2, 3, 6, 8), PAD) == (6, 8)
    assert image_sizes(images[1:], PAD) == (6, 8)
    blank = blank_pixels(images[:1], torch.tensor([(4, 5)]))
    assert torch.equal(blank[0, 0, :4, :5], torch.full((4, 5), PAD))
    assert blank.sum() == 20 + 20 * PAD


def test_embeddings_are_resized_on_the_device_as_by_pytorch():
    """To the bit for their own grid, (4, 6)."""
    pos_embed, sizes, canvas = torch.randn(1, 24, 8), torch.tensor([(4, 6), (1, 1), (9, 13), (3, 2), (8, 12)]), (9, 13)
    placed = place_pos_embed(pos_embed, (4, 6), sizes, canvas)
    assert placed.shape == (5, *canvas, 8)
    assert torch.equal(placed[0, :4, :6], pos_embed.view(4, 6, 8))
    for (height, width), one in zip(sizes.tolist(), placed, strict=True):
        expected = torch.zeros(*canvas, 8)
        expected[:height, :width] = resize_pos_embed(pos_embed, (4, 6), (height, width)).view(height, width, 8)
        torch.testing.assert_close(one, expected, rtol=1e-5, atol=1e-5)
    assert place_pos_embed(pos_embed.bfloat16(), (4, 6), sizes, canvas).dtype == torch.bfloat16


def affected(encoder, size, level):
    """Return which cells of a map change with the upper left pixel."""
    image = torch.randn(1, 3, size, size)
    other = image.clone()
    other[..., 0, 0] += 1
    with torch.no_grad():
        return (encoder(image)[level] != encoder(other)[level]).any(dim=1)[0]


def test_windows_keep_to_themselves_and_wide_blocks_look_further():
    for window, settings in ((8, {}), (12, dict(wide_blocks=(1,), wide_window=12))):
        changed = affected(swin(**settings), 256, 2)  # of a map of 16 x 16
        assert changed[:window, :window].all()
        assert changed.sum() == window**2
    assert affected(swin(wide_blocks=(0,), wide_window=99), 256, 2).all()  # clipped to the map: all see all


def test_wide_tables_are_made_for_their_window_and_loaded_from_narrow_ones():
    encoder = swin(wide_blocks=(1,), wide_window=12)
    tables = [block.attn.relative_position_bias_table for block in encoder.layers[2].blocks]
    assert [len(table) for table in tables] == [15**2, 23**2]
    encoder.load_state_dict(swin().state_dict())
    narrow = swin().layers[2].blocks[1].attn.relative_position_bias_table
    resized = F.interpolate(narrow.T.reshape(1, 2, 15, 15), size=(23, 23), mode='bicubic', align_corners=False)
    torch.testing.assert_close(tables[1], resized[0].flatten(1).T)


def attend_by_hand(attention, tokens):
    """Softmax attention over (T, C) for each head, written out."""
    dims = tokens.shape[1] // attention.num_heads
    query, key, value = attention.qkv(tokens).chunk(3, dim=1)
    heads = []
    for part in range(attention.num_heads):
        of_head = slice(part * dims, (part + 1) * dims)
        weights = (query[:, of_head] @ key[:, of_head].T / dims**0.5).softmax(dim=1)
        heads.append(weights @ value[:, of_head])
    return attention.proj(torch.cat(heads, dim=1))


def test_a_windowed_vit_attends_window_by_window():
    encoder = vit(window_size=(2, 3), global_blocks=(1,), out_indices=(2,), final_norm=False)
    with torch.no_grad():
        images = torch.randn(1, 3, 64, 80)  # 4 x 5 patches, of which the second column of windows lacks one
        expected = encoder.embed(images)[0][0]
        for index, block in enumerate(encoder.blocks):
            x = block.norm1(expected)
            windows = (
                [range(20)]
                if index == 1
                else [
                    [row * 5 + column for row in rows for column in columns]
                    for rows in ((0, 1), (2, 3))
                    for columns in ((0, 1, 2), (3, 4))
                ]
            )
            for window in windows:
                expected[list(window)] += attend_by_hand(block.attn, x[list(window)])
            expected = expected + block.mlp(block.norm2(expected))
        torch.testing.assert_close(encoder(images)[0][0].flatten(1).T, expected, rtol=1e-4, atol=1e-5)


def test_a_windowed_vit_has_no_cls_and_mixes_nothing():
    encoder = vit(window_size=2, pad_value=None)
    assert not encoder.cls_token.requires_grad
    assert vit().cls_token.requires_grad
    with pytest.raises(ValueError, match='leave window_size out for pre-training'):
        encoder(torch.randn(1, 3, 64, 64), torch.zeros(1, 4, 4, dtype=torch.int64))


@pytest.mark.parametrize('kind', ['Swin', 'ViT', 'pyramid'])
def test_maps_lie_in_memory_as_mmcv_reads_them(kind):
    """RoIAlign on the CPU reads maps whose channels come last as if they came first; convolutions keep that order."""
    ops = pytest.importorskip('mmcv.ops', reason='needs the compiled ops of mmcv')
    if kind == 'Swin':
        arch = dict(embed_dims=8, depths=(1, 1), num_heads=(1, 1))
        encoder = MixMIMSwin(arch, img_size=32, window_sizes=(4, 4), out_indices=(0, 1))
    else:
        arch = dict(embed_dims=8, depth=2, num_heads=1)
        encoder = MixingViT(arch, img_size=32, patch_size=4, out_indices=(0, 1), final_norm=False)
    maps = encoder(torch.randn(2, 3, 32, 32))
    maps = ViTPyramid(8)(maps[-1:]) if kind == 'pyramid' else maps
    assert all(x.is_contiguous() for x in maps)
    lateral = torch.nn.Conv2d(maps[0].shape[1], 4, 1)(maps[0])
    boxes = torch.tensor([[1.0, 3.0, 5.0, 20.0, 17.0]])
    align = ops.RoIAlign(output_size=2, spatial_scale=maps[0].shape[-1] / 32, sampling_ratio=2)
    torch.testing.assert_close(align(lateral, boxes), align(lateral.contiguous(), boxes), atol=0, rtol=0)
