"""MixingViT: a stock ViT without an assignment, settings against references written out, loading."""

import pytest
import torch
from torch.nn import functional as F

from mixmae_mm.mixing import NOBODY, homologous, mix_images, random_assignment, visible_ids
from mixmae_mm.models import MixingViT

ARCH = dict(embed_dims=16, depth=3, num_heads=2)


def build(**settings):
    torch.manual_seed(0)
    return MixingViT(**(dict(arch=ARCH, img_size=32, patch_size=8) | settings)).eval()


def stock_vit(vit, images):
    """A ViT as everybody writes it, with the weights of ours: the tokens after each block."""
    p = dict(vit.named_parameters())
    eps = vit.norm.eps

    def normalize(x, name):
        return F.layer_norm(x, x.shape[-1:], p[f'{name}.weight'], p[f'{name}.bias'], eps)

    def linear(x, name):
        return F.linear(x, p[f'{name}.weight'], p[f'{name}.bias'])

    patches = F.conv2d(images, p['patch_embed.proj.weight'], p['patch_embed.proj.bias'], stride=vit.patch_size)
    x = patches.flatten(2).transpose(1, 2) + p['pos_embed'][:, 1:]
    x = torch.cat([(p['cls_token'] + p['pos_embed'][:, :1]).expand(len(x), -1, -1), x], 1)
    outputs = []
    for block in range(vit.arch.depth):
        name = f'blocks.{block}'
        qkv = linear(normalize(x, f'{name}.norm1'), f'{name}.attn.qkv')
        q, k, v = qkv.reshape(*x.shape[:2], 3, vit.arch.num_heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
        x = x + linear(mixed, f'{name}.attn.proj')
        x = x + linear(F.gelu(linear(normalize(x, f'{name}.norm2'), f'{name}.mlp.fc1')), f'{name}.mlp.fc2')
        outputs.append(x)
    return outputs, normalize(x, 'norm')


def to_map(tokens, side=4):
    return tokens[:, 1:].transpose(1, 2).reshape(len(tokens), -1, side, side)


MIXTURE_SETTINGS = [
    dict(),
    dict(num_sources=4),
    dict(num_sources=4, attention='true', segment_embedding=False),
    dict(num_sources=2, topk_ratio=0.1, homologous_layers=(0, 1, 2), exempt_cls=False),
]


@pytest.mark.parametrize('settings', MIXTURE_SETTINGS)
def test_without_an_assignment_it_is_a_stock_vit_to_the_bit(settings):
    vit, images = build(**settings), torch.randn(2, 3, 32, 32)
    assert torch.equal(vit(images)[0], to_map(stock_vit(vit, images)[1]))


def test_one_source_and_all_keys_is_the_plain_vit():
    vit, images = build(), torch.randn(2, 3, 32, 32)
    assignment = torch.zeros(1, 4, 4, dtype=torch.long)
    assert vit.topk_ratio == 1
    torch.testing.assert_close(vit(images, assignment)[0], vit(images)[0], atol=1e-6, rtol=0)
    plain = build(attention='global')
    assert torch.equal(plain(images, assignment)[0], vit(images)[0])


def test_segments_are_added_by_the_assignment():
    vit = build(num_sources=4, attention='global')
    images, assignment = torch.randn(2, 3, 32, 32), random_assignment(2, (4, 4), 4)
    expected, _ = vit.embed(images)
    for group in range(2):
        for cell in range(16):
            expected[group, cell] += vit.segment_embed[assignment[group].flatten()[cell]]
    seen = []
    vit.blocks[0].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    vit(images, assignment)
    torch.testing.assert_close(seen[0][:, 1:], expected)
    assert torch.equal(seen[0][:, :1], vit.cls_token.expand(2, -1, -1))  # CLS has no place and no source


def test_cells_of_no_source_have_no_segment():
    vit = build(num_sources=3, attention='global')
    images, assignment = torch.randn(1, 3, 32, 32), torch.arange(16).view(1, 4, 4) % 4 - 1
    expected, _ = vit.embed(images)
    for cell in range(16):
        source = assignment.flatten()[cell]
        expected[0, cell] += vit.segment_embed[source] if source >= 0 else 0
    seen = []
    vit.blocks[0].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    vit(images, assignment)
    torch.testing.assert_close(seen[0][:, 1:], expected)


@pytest.mark.parametrize(
    ('attention', 'cls', 'leaks'), [('true', False, False), ('true', True, True), ('global', False, True)]
)
def test_with_the_true_map_sources_meet_through_cls_only(attention, cls, leaks):
    """A new image for source 1 moves no feature of source 0, once CLS is the same before each block."""
    vit = build(num_sources=2, attention=attention, homologous_layers=(0, 1, 2))
    if not cls:
        for block in vit.blocks:
            block.register_forward_pre_hook(lambda block, given: (F.pad(given[0][:, 1:], (0, 0, 1, 0)), *given[1:]))
    assignment = random_assignment(1, (4, 4), 2)
    before = torch.randn(1, 2, 3, 32, 32)
    after = torch.stack([before[:, 0], torch.randn(1, 3, 32, 32)], 1)
    features = [vit(mix_images(x, assignment), assignment)[0] for x in (before, after)]
    change = (features[0] - features[1]).abs().amax(1)[0]
    assert (change[assignment[0] == 1] > 1e-2).all()
    others = change[assignment[0] == 0]
    assert (others > 1e-5).all() if leaks else not others.any()


@pytest.mark.parametrize(('exempt', 'counts'), [(True, {5}), (False, {4})])
def test_cls_is_exempt_from_the_choice_or_one_of_the_keys(exempt, counts):
    """Of 16 patches 4 are kept, with CLS besides or among them."""
    vit = build(num_sources=4, exempt_cls=exempt, homologous_layers=(0,))
    images, assignment = torch.randn(2, 3, 32, 32), random_assignment(2, (4, 4), 4)
    rules = vit._rules(homologous(assignment.flatten(1)))
    qkv = torch.randn(2, 2, 2, 17, 8)
    kept = rules[0](*qkv)
    assert set(kept[:, :, 1:].sum(-1).flatten().tolist()) == counts
    assert kept[:, :, 0].all() == exempt
    assert torch.isfinite(vit.encode(images, assignment).precision[0])


@pytest.mark.parametrize(('given', 'blocks'), [((0, 2), (0, 2)), ((-1,), (2,)), ((-3, 1), (0, 1)), ((2, 0), (2, 0))])
def test_out_indices(given, blocks):
    vit, images = build(out_indices=given), torch.randn(2, 3, 32, 32)
    full = build()
    outputs, last = stock_vit(full, images)
    outputs[2] = last
    for found, block in zip(vit(images), blocks, strict=True):
        torch.testing.assert_close(found, to_map(outputs[block]))
    assert any(p.requires_grad for p in vit.blocks[2].parameters()) == (2 in blocks)
    assert hasattr(vit, 'norm') == (2 in blocks)


def test_out_types():
    images = torch.randn(2, 3, 32, 32)
    outputs, last = stock_vit(build(), images)
    torch.testing.assert_close(build(final_norm=False)(images)[0], to_map(outputs[2]))
    torch.testing.assert_close(build(out_type='cls_token')(images)[0], last[:, 0, :, None, None])
    mean = build(out_type='avg_featmap')
    with torch.no_grad():
        mean.fc_norm.weight.normal_()
        mean.fc_norm.bias.normal_()
    pooled = F.layer_norm(outputs[2][:, 1:].mean(1), (16,), mean.fc_norm.weight, mean.fc_norm.bias, 1e-6)
    torch.testing.assert_close(mean(images)[0], pooled[..., None, None])
    assert 'norm.weight' not in mean.state_dict()


def test_only_visible_patches_are_encoded():
    vit, images = build(attention='global'), torch.randn(3, 3, 32, 32)
    assignment = random_assignment(3, (4, 4), 1, 0.5)
    ids_keep = visible_ids(assignment.flatten(1), 8)
    encoded = vit.encode(images, assignment, ids_keep)
    for i in range(3):
        tokens, _ = vit.embed(images[i : i + 1])
        alone = vit.run_blocks(tokens[:, ids_keep[i]])[2]
        torch.testing.assert_close(encoded.cls[i], alone[0, 0], atol=1e-5, rtol=1e-5)
        found = encoded.maps[0][i].flatten(1)
        torch.testing.assert_close(found[:, ids_keep[i]].T, alone[0, 1:], atol=1e-5, rtol=1e-5)
        assert not found[:, assignment[i].flatten() == NOBODY].any()


def test_drop_path_grows_over_the_blocks():
    assert [block.drop_path.rate for block in build(drop_path_rate=0.2).blocks] == pytest.approx([0, 0.1, 0.2])


@pytest.mark.parametrize(
    ('frozen', 'names'),
    [
        (-1, set()),
        (0, {'cls_token', 'patch_embed', 'segment_embed'}),
        (2, {'cls_token', 'patch_embed', 'segment_embed', 'blocks.0', 'blocks.1'}),
        (3, {'cls_token', 'patch_embed', 'segment_embed', 'blocks.0', 'blocks.1', 'blocks.2', 'norm'}),
    ],
)
def test_what_is_frozen(frozen, names):
    vit = build(num_sources=4, frozen_stages=frozen).train()
    still = {n for n, p in vit.named_parameters() if not p.requires_grad}
    found = {'.'.join(n.split('.')[: 2 if n.startswith('blocks') else 1]) for n in still}
    assert found - {'pos_embed'} == names
    assert 'pos_embed' in found
    assert [block.training for block in vit.blocks] == [i >= frozen for i in range(3)]
    assert build(train_positions=True).pos_embed.requires_grad


def test_depths_of_parameters():
    vit = build(num_sources=4)
    expected = dict(cls_token=0, pos_embed=0, segment_embed=0, patch_embed=0, norm=4)
    for name, _ in vit.named_parameters():
        stem = name.split('.')[0]
        layer = int(name.split('.')[1]) + 1 if stem == 'blocks' else expected[stem]
        assert vit.get_layer_depth(f'backbone.{name}', 'backbone.') == (layer, 5)


def test_segments_are_dropped_or_folded_on_loading():
    mixing = build(num_sources=4)
    weights = mixing.state_dict()
    dropped, folded = build(), build(fold_segments=True)
    dropped.load_state_dict(weights, strict=True)
    folded.load_state_dict(weights, strict=True)
    bias = weights['patch_embed.proj.bias']
    assert torch.equal(dropped.patch_embed.proj.bias, bias)
    torch.testing.assert_close(folded.patch_embed.proj.bias, bias + weights['segment_embed'].mean(0))
    assert 'segment_embed' in weights
    assert 'segment_embed' not in dropped.state_dict()


def test_a_larger_cell_than_a_patch():
    vit, images = build(num_sources=2), torch.randn(2, 3, 32, 32)
    coarse = random_assignment(2, (2, 2), 2)
    fine = coarse.repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert torch.equal(vit(images, coarse)[0], vit(images, fine)[0])
    with pytest.raises(ValueError, match='3 x 3 cells does not fit a grid of 4 x 4'):
        vit(images, random_assignment(2, (3, 3), 2))
