"""Position embeddings are read from a file as they were written, for every grid and layout, or reported as resized."""

import itertools

import pytest
import torch

from mixmae_mm.apis.encoder_file import load_encoder, save_encoder
from mixmae_mm.checkpoint.key_mapping import ENCODER, find_layout, to_mmpretrain, to_official, to_ours
from mixmae_mm.checkpoint.loading import fit, load_backbone
from mixmae_mm.models import MixDecoder, MixingViT, MixMIMSwin
from mixmae_mm.models.utils.pos_embed import (
    infer_grid,
    relative_index,
    resize_bias_table,
    resize_pos_embed,
    sin_cos_pos_embed,
)

GRIDS = list(itertools.product(range(1, 21), repeat=2))
AMBIGUOUS_GRIDS = [(1, 3), (3, 5), (5, 3), (2, 8), (4, 9), (8, 18), (4, 4), (1, 4), (6, 1), (2, 7)]
"""With CLS, or without, as many rows as a square has; squares; rows, columns, and an ordinary one."""


def vit(grid, **settings):
    arch = dict(embed_dims=8, depth=1, num_heads=2)
    size = tuple(2 * side for side in grid)
    return MixingViT(arch, img_size=size, patch_size=2, train_positions=True, **settings).eval()


def swin(grid, **settings):
    """Build an encoder of one stage, so that any grid works, with windows at least as large as it."""
    arch = dict(embed_dims=8, depths=(1,), num_heads=(2,))
    return MixMIMSwin(arch, img_size=grid, patch_size=1, window_sizes=((20, 20),), out_indices=(0,), **settings).eval()


TABLES = {vit: 'pos_embed', swin: 'absolute_pos_embed'}


def trained(encoder):
    """Randomize every parameter, position embeddings too, further than training ever would."""
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.normal_()
    return encoder


def random_images(grid, build):
    return torch.randn(2, 3, *(side * (2 if build is vit else 1) for side in grid))


def behind(prefix):
    return lambda ours: {prefix + name.removeprefix(ENCODER): x for name, x in ours.items()}


NAMINGS = {
    'ours': dict,
    'official, mae, timm': to_official,
    'mmpretrain': to_mmpretrain,
    'several deep': behind('module.model.backbone.'),
    'without a prefix': behind(''),
}


@pytest.mark.parametrize('naming', NAMINGS.values(), ids=NAMINGS)
@pytest.mark.parametrize('build', [vit, swin])
def test_every_grid_comes_back_from_every_naming(build, naming):
    name = TABLES[build]
    like = build((2, 3)).state_dict()
    for grid in GRIDS:
        fixed = sin_cos_pos_embed(grid, 8)
        for patches in (fixed, torch.randn_like(fixed)):
            table = torch.cat([torch.randn(1, build is vit, 8), patches], dim=1)
            sides = {} if grid[0] == grid[1] else {f'{name}_grid': torch.tensor(grid)}
            stored = {ENCODER + key: x for key, x in like.items() if key != f'{name}_grid'}
            stored |= {ENCODER + key: x for key, x in ({name: table} | sides).items()}
            file = naming(stored)
            back = {key.removeprefix(ENCODER): x for key, x in to_ours(file, find_layout(file)).items()}
            assert torch.equal(back[name], table), grid
            assert [*back.get(f'{name}_grid', grid)] == [*grid]


@pytest.mark.parametrize('grid', AMBIGUOUS_GRIDS)
@pytest.mark.parametrize('build', [vit, swin])
def test_features_after_a_round_trip(tmp_path, build, grid):
    encoder, images = trained(build(grid)), random_images(grid, build)
    path = save_encoder(encoder, tmp_path / 'encoder.safetensors')
    assert torch.equal(load_encoder(path)(images)[0], encoder(images)[0])
    ours = {ENCODER + name: x for name, x in encoder.state_dict().items()}
    for naming in NAMINGS.values():
        torch.save(dict(state_dict=naming(ours)), tmp_path / 'file.pth')
        loaded = build(grid, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'file.pth')))
        loaded.init_weights()
        assert torch.equal(loaded(images)[0], encoder(images)[0])


@pytest.mark.parametrize(('grid', 'new'), [((8, 18), (12, 12)), ((12, 12), (8, 18)), ((2, 8), (4, 4))])
@pytest.mark.parametrize('build', [vit, swin])
def test_a_table_of_as_many_entries_is_resized_and_it_is_said(tmp_path, build, grid, new):
    encoder, loaded, name = trained(build(grid)), build(new), TABLES[build]
    if (grid, new) == ((12, 12), (8, 18)):  # a square's sides are not stored: those of a fixed embedding are known
        table = sin_cos_pos_embed(grid, 8)
        getattr(encoder, name).data = torch.cat([torch.zeros(1, build is vit, 8), table], dim=1)
    report = load_backbone(loaded, str(save_encoder(encoder, tmp_path / 'encoder.safetensors')))
    expected = resize_pos_embed(getattr(encoder, name), grid, new, extra=build is vit)
    assert torch.equal(getattr(loaded, name), expected)
    assert report.resized[name] == f'{grid[0]} x {grid[1]} -> {new[0]} x {new[1]}, bicubic'
    assert name not in report.assumed


def foreign(grid, cls_token=True, row=True):
    """Return another program's file, without grid sides, with or without CLS token and its row of the embedding."""
    file = {name: x for name, x in trained(vit(grid)).state_dict().items() if name != 'pos_embed_grid'}
    if not cls_token:
        del file['cls_token']
    return file if row else file | dict(pos_embed=file['pos_embed'][:, 1:])


@pytest.mark.parametrize(
    ('grid', 'made', 'assumed', 'doubtful'),
    [
        ((4, 4), {}, '4 x 4', False),  # official MAE, fine-tuned
        ((4, 4), dict(row=False), '4 x 4', False),  # timm, whose CLS stands at no position
        ((4, 4), dict(row=False, cls_token=False), '4 x 4', True),  # no CLS at all: cls_token starts anew
        ((3, 5), {}, '3 x 5', True),
        ((2, 8), {}, '2 x 8', True),
        ((3, 5), dict(row=False, cls_token=False), '3 x 5', True),
    ],
)
def test_sides_that_the_file_does_not_say_are_assumed_aloud(tmp_path, grid, made, assumed, doubtful):
    file = foreign(grid, **made)
    torch.save(file, tmp_path / 'file.pth')
    report = load_backbone(loaded := vit(grid), str(tmp_path / 'file.pth'), min_share=0.9)
    assert torch.equal(loaded.pos_embed[:, -grid[0] * grid[1] :], file['pos_embed'][:, -grid[0] * grid[1] :])
    assert made.get('row', True) or loaded.pos_embed[0, 0].eq(0).all()
    assert report.assumed == {'pos_embed': assumed}
    assert not report.resized
    assert report.doubtful == doubtful
    assert f'pos_embed: {assumed}' in str(report)


def test_sides_that_cannot_be_known_or_are_of_another_embedding_are_refused(tmp_path):
    torch.save(foreign((3, 6)), tmp_path / 'file.pth')
    with pytest.raises(ValueError, match=r'pos_embed .*18 .* 4 x 4 '):
        load_backbone(vit((4, 4)), str(tmp_path / 'file.pth'))
    weights = vit((3, 5)).state_dict() | dict(pos_embed_grid=torch.tensor((3, 6)))
    with pytest.raises(ValueError, match=r' 15 .* pos_embed_grid .*\(3, 6\)'):
        fit(vit((3, 5)), weights)


@pytest.mark.parametrize('window', [(5, 13), (2, 3), (1, 8), (8, 1), (8, 8)])
def test_the_window_of_a_bias_table_is_that_of_its_index(tmp_path, window):
    """Tables alone are ambiguous: 8 x 8 and 5 x 13 have 225 offsets each, 2 x 3 and 1 x 8 have 15 each."""
    encoder = trained(swin(window))
    path = save_encoder(encoder, tmp_path / 'encoder.safetensors')
    for new in ((8, 8), (1, 8), (8, 1), (5, 13)):
        report = load_backbone(loaded := swin(new), str(path))
        table, name = encoder.layers[0].blocks[0].attn, 'layers.0.blocks.0.attn.relative_position_bias_table'
        expected = resize_bias_table(table.relative_position_bias_table, window, new)
        assert torch.equal(loaded.layers[0].blocks[0].attn.relative_position_bias_table, expected)
        assert torch.equal(loaded.layers[0].blocks[0].attn.relative_position_index, relative_index(new, new))
        assert (name in report.resized) == (new != window)
        assert not report.assumed or window == (8, 8)


@pytest.mark.parametrize('grid', [(3, 5), (8, 18), (4, 4)])
def test_decoders_too(grid):
    decoder, other = (MixDecoder(8, grid, 4, embed_dims=8, depth=1, num_heads=2, cls_token=True) for _ in range(2))
    other.load_state_dict(trained(decoder).state_dict())
    assert torch.equal(other.decoder_pos_embed, decoder.decoder_pos_embed)
    larger = MixDecoder(8, (12, 12), 4, embed_dims=8, depth=1, num_heads=2, cls_token=True)
    larger.load_state_dict(decoder.state_dict())
    assert torch.equal(larger.decoder_pos_embed, resize_pos_embed(decoder.decoder_pos_embed, grid, (12, 12), extra=1))


def test_files_of_before_that_say_no_sides_resume_as_they_are():
    encoder = trained(vit((2, 8)))
    other = vit((2, 8))
    other.load_state_dict({name: x for name, x in encoder.state_dict().items() if name != 'pos_embed_grid'})
    assert torch.equal(other.pos_embed, encoder.pos_embed)


@pytest.mark.parametrize('dims', [8, 64])
def test_sin_cos_embeddings_determine_their_grid(dims):
    for grid in GRIDS[:: 3 if dims == 8 else 17]:
        table = sin_cos_pos_embed(grid, dims)
        assert infer_grid(table) == grid
        assert infer_grid(table.half()) == grid
        assert infer_grid(torch.cat(table.chunk(2, dim=2)[::-1], dim=2)) in (grid, grid[::-1])  # halves as mmpretrain's
        assert infer_grid(table + 0.03 * torch.randn_like(table)) == grid
    for other in (torch.randn(1, 64, dims), torch.zeros(1, 64, dims), torch.full((1, 64, dims), 0.7)):
        assert infer_grid(other) is None
