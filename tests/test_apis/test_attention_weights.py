import pytest
import torch
from tiny_mixmae import build, tiny_mixedae

from mixmae_mm.apis.attention_maps import NOWHERE, AttentionWeights, attention_of, blocks_of, last_blocks
from mixmae_mm.apis.reconstruction_inferencer import mix_once
from mixmae_mm.mixing import resize_assignment
from mixmae_mm.models import MixingViT, MixMIMSwin
from mixmae_mm.models.utils.attention import merge_heads
from mixmae_mm.models.utils.swin_layers import WindowAttention
from mixmae_mm.models.utils.windows import WindowedAttention

ARCH = dict(embed_dims=8, depths=(1, 2, 1), num_heads=(1, 2, 2))
VIT = dict(embed_dims=8, depth=3, num_heads=2)


def swin(**settings):
    return MixMIMSwin(ARCH, **(dict(img_size=32, patch_size=2, window_sizes=(4, 4, 4), out_indices=(2,)) | settings))


def vit(**settings):
    return MixingViT(VIT, **(dict(img_size=32, patch_size=4) | settings))


def sharpen(encoder):
    """Enlarge weights of logits and biases, which would hardly matter at their random initialization."""
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if 'qkv' in name or 'bias_table' in name:
                parameter.normal_(std=0.3)
    return encoder.eval()


def listen(encoder, run):
    """Record the inputs and outputs of every attention in order while `run` runs."""
    heard, handles = [], []
    for block in blocks_of(encoder).values():
        handles.append(block.attn.register_forward_hook(lambda module, given, out: heard.append((*given[:2], out))))
    with torch.no_grad():
        run()
    for handle in handles:
        handle.remove()
    return heard


def put_out(attention, found, rule):
    """Compute the module's output from the attention weights."""
    seen = attention.proj(merge_heads(found.weights @ found.values))
    if isinstance(attention, WindowAttention):
        return rule.reverse(seen)
    if isinstance(attention, WindowedAttention):
        return rule.reverse(seen).flatten(1, 2)
    return seen[:, 0]


def check_against_the_modules(encoder, images, run):
    found = attention_of(encoder, images, range(len(blocks_of(encoder))))
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in encoder.modules())
    blocks, heard = blocks_of(encoder), listen(encoder, run)
    assert list(found) == list(blocks)
    for (name, one), (_, rule, out) in zip(found.items(), heard, strict=True):
        assert torch.allclose(one.weights.sum(-1), torch.ones(1), atol=1e-5)
        assert one.weights.min() >= 0
        assert (one.weights * one.weights.shape[-1]).max() > 1.5  # far from equal
        assert torch.allclose(put_out(blocks[name].attn, one, rule), out, atol=1e-5)
    return found


@pytest.mark.parametrize(
    ('encoder', 'size'),
    [
        (swin(), (32, 32)),
        (swin(), (24, 40)),  # windows with padding, and others than the tables'
        (swin(wide_blocks=(1,), wide_window=8), (64, 64)),
        (vit(), (32, 32)),
        (vit(), (28, 36)),
        (vit(window_size=4, global_blocks=(2,)), (32, 32)),
        (vit(window_size=3), (32, 40)),
    ],
)
@torch.no_grad()
def test_weights_and_values_give_what_the_module_gave(encoder, size):
    images = torch.randn(2, 3, *size)
    check_against_the_modules(sharpen(encoder), images, lambda: encoder(images))


def mixed_by(model, count):
    sharpen(model.backbone)
    images = torch.randint(0, 256, (count, 3, 32, 32)).float()
    return mix_once(model.data_preprocessor, images, seed=3)


def test_mixmae_gives_no_weight_to_another_source():
    model = build(shared_assignment=False, num_sources=2)
    images = mixed_by(model, 6)
    found = check_against_the_modules(model.backbone, images, lambda: model.encode(images))
    for one in found.values():
        owners = resize_assignment(images.assignment, one.grid).flatten(1)
        for image in range(3):
            for window, places in enumerate(one.places[0]):
                apart = owners[image][places][:, None] != owners[image][places][None]
                weights = one.weights[image, window]
                assert (weights[:, apart] == 0).all()
                assert (weights[:, ~apart] > 0).all()
    assert (found['stage 3 block 0'].weights == 0).any()  # windows of earlier ones lie within a cell


def test_mixedae_keeps_as_many_keys_as_its_rule_says():
    model = build(tiny_mixedae)
    images = mixed_by(model, 8)
    found = check_against_the_modules(model.backbone, images, lambda: model.encode(images))
    kept = {name: (one.weights[..., 1:, 1:] > 0).sum(-1).unique().tolist() for name, one in found.items()}
    assert kept == {'block 0': [16], 'block 1': [4]}
    assert (found['block 1'].weights[..., 0, :] > 0).all()  # CLS sees all


def test_mae_knows_where_the_visible_patches_are():
    model = build(tiny_mixedae, num_sources=1, mask_ratio=0.75, shared_assignment=False)
    images = mixed_by(model, 2)
    one = check_against_the_modules(model.backbone, images, lambda: model.encode(images))['block 1']
    for image in range(2):
        of_cls = one.of_cls(image)
        assert torch.equal(~of_cls.isnan(), (images.assignment[image] == 0).expand_as(of_cls))
        assert torch.allclose(of_cls.nansum((1, 2)), 1 - one.weights[image, 0, :, 0, 0], atol=1e-6)
        assert one.equal_share(image) == 1 / 4
    row, column = (images.assignment[0] != 0).nonzero()[0].tolist()
    with pytest.raises(ValueError, match=f'row {row}, column {column}: it is masked'):
        one.of_patch(0, row, column)


def test_maps_by_hand():
    """Two windows of 1 x 2 on a grid of 1 x 3, with one head; the last token of the second window is padding."""
    first, second = [[0.25, 0.75], [0.5, 0.5]], [[1.0, 0.0], [0.0, 1.0]]
    places = torch.tensor([[[0, 1], [2, NOWHERE]]])
    found = AttentionWeights(torch.tensor([[[first], [second]]]), torch.zeros(1, 2, 1, 2, 1), places, (1, 3), 0)
    assert torch.equal(found.of_patch(0, 0, 0).nan_to_num(9), torch.tensor([[[0.25, 0.75, 9]]]))
    assert torch.equal(found.of_patch(0, 0, 2).nan_to_num(9), torch.tensor([[[9.0, 9, 1]]]))
    assert torch.equal(found.received(0), torch.tensor([[[0.375, 0.625, 1]]]))
    assert found.equal_share(0) == 0.5


def test_blocks_are_counted_over_all_stages():
    assert list(blocks_of(swin())) == ['stage 0 block 0', 'stage 1 block 0', 'stage 1 block 1', 'stage 2 block 0']
    assert last_blocks(swin(out_indices=(1,))) == [0, 2]
    assert last_blocks(vit(out_indices=(0, 1))) == [1]
    images = torch.zeros(1, 3, 32, 32)
    assert list(attention_of(vit().eval(), images, [-1, 0])) == ['block 2', 'block 0']
    assert list(attention_of(swin().eval(), images)) == ['stage 0 block 0', 'stage 1 block 1', 'stage 2 block 0']


@pytest.mark.parametrize(
    ('encoder', 'block', 'said'),
    [
        (vit(), 3, '^there is no block 3: this encoder has 3, 0 to 2$'),
        (torch.nn.Linear(1, 1), 0, 'the blocks of Linear are unknown'),
        (vit(out_indices=(0,)), 2, r'^block 2 is not run: out_indices \(0,\) only needs earlier ones$'),
    ],
)
def test_blocks_that_there_are_not(encoder, block, said):
    with pytest.raises(ValueError, match=said):
        attention_of(encoder.eval(), torch.zeros(1, 3, 32, 32), [block])


@pytest.mark.parametrize(('row', 'column'), [(0, 3), (1, 0), (0, -1), (-1, 2)])
def test_patches_outside_the_grid_are_refused(row, column):
    places = torch.tensor([[[NOWHERE, 0, 1, 2]]])
    found = AttentionWeights(torch.full((1, 1, 1, 4, 4), 0.25), torch.zeros(1, 1, 1, 4, 1), places, (1, 3), 1)
    with pytest.raises(ValueError, match=f'^no patch is in row {row}, column {column}: there are 1 x 3$'):
        found.of_patch(0, row, column)


@torch.no_grad()
def test_padding_is_no_patch():
    """Windows of 4 x 4 patches over 5 x 9 of them, which the encoder pads to 8 x 12; then 3 x 5 and 2 x 3."""
    encoder = sharpen(swin())
    found = attention_of(encoder, torch.randn(1, 3, 10, 18), range(4))
    grids = [one.grid for one in found.values()]
    assert grids == [(5, 9), (3, 5), (3, 5), (2, 3)]
    for one in found.values():
        count = one.grid[0] * one.grid[1]
        assert sorted(one.places[one.places != NOWHERE].tolist()) == list(range(count))
        given = torch.zeros(one.weights.shape[2], count)
        for weights, places in zip(one.weights[0], one.places[0].tolist(), strict=True):
            real = [token for token, place in enumerate(places) if place != NOWHERE]
            for token in real:
                given[:, places[token]] = sum(weights[:, query, token] for query in real) / len(real)
                assert weights[:, token, real].sum(1).allclose(torch.ones(1))
        torch.testing.assert_close(one.received(0).flatten(1), given)
    assert found['stage 0 block 0'].equal_share(0) == 1 / 16
    assert found['stage 2 block 0'].equal_share(0) == 1 / 6


@pytest.mark.parametrize('build_encoder', [swin, vit, lambda **given: vit(window_size=3, global_blocks=(2,), **given)])
@torch.no_grad()
def test_padding_within_a_batch_is_no_patch(build_encoder):
    encoder = sharpen(build_encoder(pad_value=0.0))
    images = torch.randn(2, 3, 32, 32)
    images[1, :, 16:] = 0
    images[1, :, :, 24:] = 0
    together = attention_of(encoder, images, range(len(blocks_of(encoder))))
    alone = attention_of(encoder, images[1:, :, :16, :24], range(len(blocks_of(encoder))))
    for name, one in together.items():
        height, width = alone[name].grid
        received = one.received(1)
        assert torch.isnan(received[:, height:]).all()
        assert torch.isnan(received[:, :, width:]).all()
        assert not torch.isnan(one.received(0)).any()
        assert torch.allclose(one.of_patch(1, 0, 0).nansum((1, 2)), torch.ones(1)) or one.extra
