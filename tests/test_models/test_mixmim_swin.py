"""The encoder as one class for pre-training and transfer: any size, settings, freezing, memory, depths."""

import pytest
import torch
from references import build_encoder, load_reference

from mixmae_mm.models import MixMIMSwin
from mixmae_mm.models.utils.padding import place_table
from mixmae_mm.models.utils.pos_embed import relative_index
from mixmae_mm.models.utils.swin_layers import SwinStage
from mixmae_mm.models.utils.windows import Rearrange, Windows, plan_windows

TINY = dict(embed_dim=16, depths=[1, 1, 2, 1], num_heads=[1, 2, 4, 8], patch_size=4, window_size=[7, 7, 7, 4])


def tiny(size=224, **settings):
    return build_encoder(dict(TINY, img_size=size), **settings)


@pytest.mark.parametrize('size', [(64, 64), (224, 320), (100, 131), (33, 32), (448, 224)])
def test_any_height_and_width_gives_maps_of_every_stage(size):
    maps = tiny(out_indices=(0, 1, 2, 3)).eval()(torch.randn(2, 3, *size))
    strides = [4, 8, 16, 32]
    assert [m.shape for m in maps] == [
        (2, 4 * stride, -(-size[0] // stride), -(-size[1] // stride)) for stride in strides
    ]


def test_padding_inside_windows_is_not_seen():
    """One window of 7 over a grid of 5 x 6 gives the same as the same tokens in a window that fits."""
    encoder = tiny().eval()
    attention = encoder.layers[0].blocks[0].attn
    tokens = torch.randn(2, 5, 6, 16)
    padded = Windows((5, 6), (7, 7), None)
    labels = padded.cut(torch.ones(1, 5, 6, 1))[..., 0]
    padded = Windows((5, 6), (7, 7), labels[..., None] == labels[..., None, :])
    fitting = plan_windows((5, 6), (7, 7), None, tokens.device)
    assert fitting.size == (5, 6)
    assert fitting.keep is None
    one, other = (w.join(attention(w.cut(tokens), w)) for w in (padded, fitting))
    torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_pixels_beyond_the_image_do_not_matter():
    """An image of 100 x 90 is filled up to 128 x 96: the filling may hold anything."""
    encoder = tiny(out_indices=(0, 1, 2, 3)).eval()
    image = torch.randn(1, 3, 100, 90)
    before = encoder(image)
    seen = []
    hook = encoder.patch_embed.register_forward_hook(lambda module, args, out: seen.append(out) or garbage(out))
    after = encoder(image)
    hook.remove()
    assert seen[0].shape == (1, 32, 24, 16)
    for one, other in zip(before, after, strict=True):
        assert torch.equal(one, other)


def garbage(tokens):
    tokens = tokens.clone()
    tokens[:, 25:] = 50.0
    tokens[:, :, 23:] = -50.0
    return tokens


def test_windows_against_loops():
    tokens = torch.arange(2 * 5 * 7 * 3.0).view(2, 5, 7, 3)
    windows = plan_windows((5, 7), (2, 3), None, tokens.device)
    cut = windows.cut(tokens)
    assert cut.shape == (2, 9, 6, 3)
    for row in range(6):
        for column in range(9):
            window, token = (row // 2) * 3 + column // 3, (row % 2) * 3 + column % 3
            inside = row < 5 and column < 7
            expected = tokens[:, row, column] if inside else torch.zeros(2, 3)
            assert torch.equal(cut[:, window, token], expected)
    assert torch.equal(windows.join(cut), tokens)
    last_window = windows.keep[0, 8]
    assert last_window[0].tolist() == [True] + [False] * 5


@pytest.mark.parametrize('grid', [(4, 6), (5, 7)], ids=['fitting', 'padded'])
def test_sorted_windows_against_loops(grid):
    tokens, labels = torch.randn(2, *grid, 3), torch.randint(0, 3, (1, *grid))
    windows = plan_windows(grid, (2, 3), labels, tokens.device, in_runs=True)
    plain = plan_windows(grid, (2, 3), labels, tokens.device)
    assert windows.keep is None
    assert torch.equal(windows.join(windows.cut(tokens)), tokens)
    unsorted, arranged = plain.cut(tokens), windows.cut(tokens).flatten(1, 2)
    height, width = (-(-side // step) * step for side, step in zip(grid, (2, 3), strict=True))
    places = [  # of the tokens of each window on the grid, filled up
        [(top + row) * width + left + column for row in range(2) for column in range(3)]
        for top in range(0, height, 2)
        for left in range(0, width, 3)
    ]
    start, seen, pairs = 0, torch.zeros_like(plain.keep), []
    for length in windows.segments:
        window = start // 6
        run = torch.tensor([places[window].index(token) for token in windows.order[start : start + length]])
        assert torch.equal(arranged[:, start : start + length], unsorted[:, window, run])
        seen[0, window, run[:, None], run] = True
        pairs += [relative_index((2, 3), (2, 3))[query, key].item() for query in run for key in run]
        start += length
    assert start == arranged.shape[1]
    assert torch.equal(seen, plain.keep)
    assert windows.pairs.tolist() == pairs


def test_maps_of_their_own_are_not_sorted():
    labels = torch.randint(0, 2, (2, 4, 4))
    windows = plan_windows((4, 4), (2, 2), labels, labels.device, in_runs=True)
    assert windows.segments == ()
    assert windows.keep.shape == (2, 4, 4, 4)


def test_recomputing_gives_the_same_gradients():
    images = torch.randn(2, 3, 64, 64)
    gradients, runs = [], []
    for with_cp in (False, True):
        torch.manual_seed(3)
        encoder = tiny(64, with_cp=with_cp, drop_path_rate=0.5).train()
        runs.append([])
        for stage in encoder.layers:
            for block in stage.blocks:
                block.attn.register_forward_hook(lambda *args: runs[-1].append(1))
        encoder(images)[0].square().sum().backward()
        gradients.append({name: p.grad for name, p in encoder.named_parameters() if p.requires_grad})
    assert (len(runs[0]), len(runs[1])) == (5, 10)
    for name, gradient in gradients[0].items():
        assert torch.equal(gradient, gradients[1][name]), name


@pytest.mark.parametrize(
    ('frozen', 'trained'),
    [
        (-1, {'patch_embed', 'layers.0', 'layers.1', 'layers.2', 'layers.3', 'norm'}),
        (2, {'layers.2', 'layers.3', 'norm'}),
    ],
)
def test_frozen_stages_get_no_gradient(frozen, trained):
    encoder = tiny(64, frozen_stages=frozen, drop_path_rate=0.1).train()
    encoder(torch.randn(2, 3, 64, 64))[0].square().sum().backward()
    moved = {name for name, p in encoder.named_parameters() if p.grad is not None}
    assert {'.'.join(name.split('.')[: 2 if name.startswith('layers') else 1]) for name in moved} == trained
    assert encoder.layers[0].training == (frozen < 1)


def test_drop_path_grows_linearly_over_the_blocks():
    rates = [b.drop_path.rate for s in MixMIMSwin('tiny', drop_path_rate=0.1).layers for b in s.blocks]
    assert rates == pytest.approx([0.1 * i / 11 for i in range(12)])


def test_initialization_is_the_official_one():
    with torch.device('cpu'):
        encoder = MixMIMSwin('base')
    assert encoder.layers[0].blocks[0].attn.qkv.weight.std().item() == pytest.approx(0.0624, rel=0.02)
    assert encoder.layers[0].downsample.reduction.weight.std().item() == pytest.approx(0.0510, rel=0.02)
    assert encoder.patch_embed.proj.weight.abs().max().item() == pytest.approx(0.1443, rel=0.01)
    assert encoder.layers[2].blocks[5].attn.relative_position_bias_table.std().item() == pytest.approx(0.02, rel=0.05)
    assert all(
        (p == 0).all() for n, p in encoder.named_parameters() if n.endswith('.bias') and 'patch_embed.proj' not in n
    )


@pytest.mark.parametrize('channels', [1, 4, 13])
def test_every_channel_is_seen(channels):
    encoder, images = tiny(64, in_channels=channels).eval(), torch.randn(1, channels, 64, 64)
    before = encoder(images)[0]
    for channel in range(channels):
        changed = images.clone()
        changed[:, channel] += 1
        assert not torch.equal(encoder(changed)[0], before)


@pytest.mark.parametrize('out_indices', [(0,), (1,), (0, 2), (3,)])
def test_what_no_output_needs_is_neither_run_nor_trained(out_indices):
    encoder = tiny(64, out_indices=out_indices).train()
    ran = []
    for index, stage in enumerate(encoder.layers):
        stage.register_forward_hook(lambda module, args, out, index=index: ran.append(index))
    sum(output.square().sum() for output in encoder(torch.randn(2, 3, 64, 64))).backward()
    assert ran == list(range(max(out_indices) + 1))
    for name, parameter in encoder.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


@pytest.mark.parametrize(('size', 'cells'), [(128, 8), (100, 4), (100, 2)])
def test_cells_that_the_last_stride_cuts_are_refused(size, cells):
    with pytest.raises(ValueError, match=f'images of {size} x {size} pixels with {cells} x {cells} cells do not go'):
        tiny()(torch.randn(1, 3, size, size), torch.zeros(1, cells, cells, dtype=torch.int64))


def test_weights_of_another_shape_of_the_same_length_are_resized():
    square, wide = tiny(128), tiny((64, 256))
    wide.load_state_dict(square.state_dict(), strict=True)
    maps = square.absolute_pos_embed.view(1, 32, 32, 16).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(maps, (16, 64), mode='bicubic').permute(0, 2, 3, 1).flatten(1, 2)
    assert torch.equal(wide.absolute_pos_embed, expected)
    again = tiny((64, 256))
    again.load_state_dict(wide.state_dict(), strict=True)
    assert torch.equal(again.absolute_pos_embed, wide.absolute_pos_embed)


def test_weights_can_be_assigned_to_a_model_without_memory():
    weights = tiny(64).state_dict()
    with torch.device('meta'):
        empty = tiny(64)
    empty.load_state_dict(weights, strict=True, assign=True)
    assert not any(tensor.is_meta for tensor in empty.state_dict().values())


def test_loading_into_other_windows_resizes_the_tables():
    weights = load_reference('mixmim_finetune_micro.pt')['state_dict']
    config = dict(load_reference('mixmim_finetune_micro.pt')['config'], img_size=96, window_size=[6, 6, 6, 3])
    encoder = build_encoder(config)
    report = encoder.load_state_dict({k: v for k, v in weights.items() if not k.startswith('head')}, strict=True)
    assert not report.missing_keys
    table = weights['layers.0.blocks.0.attn.relative_position_bias_table']
    expected = torch.nn.functional.interpolate(table.T.view(1, 1, 7, 7), (11, 11), mode='bicubic').view(1, 121).T
    assert torch.equal(encoder.layers[0].blocks[0].attn.relative_position_bias_table, expected)
    positions = weights['absolute_pos_embed'].view(1, 16, 16, 8).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(positions, (24, 24), mode='bicubic').permute(0, 2, 3, 1).flatten(1, 2)
    assert torch.equal(encoder.absolute_pos_embed, expected)


def test_a_larger_image_sees_resized_positions():
    encoder = tiny(64).eval()
    own = place_table(encoder.absolute_pos_embed, encoder.grid, (16, 16), (16, 16))
    assert torch.equal(own.flatten(1, 2), encoder.absolute_pos_embed)
    resized = place_table(encoder.absolute_pos_embed, encoder.grid, (24, 20), (24, 24))
    maps = encoder.absolute_pos_embed.view(1, 16, 16, 16).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(maps, (24, 20), mode='bicubic').permute(0, 2, 3, 1)
    assert torch.equal(resized[:, :, :20], expected)
    assert not resized[:, :, 20:].any()


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(arch='giant'), "arch 'giant' is unknown: take one of tiny, base, large, huge"),
        (dict(arch=dict(dims=8)), r"arch must hold embed_dims, depths and num_heads, got \['dims'\]"),
        (dict(window_sizes=(7, 7)), 'depths has 4, num_heads 4, window_sizes 2'),
        (dict(out_indices=(4,)), r'out_indices \(4,\) must name some of the stages 0 to 3'),
        (
            dict(arch=dict(embed_dims=12, depths=(1,) * 4, num_heads=(5, 5, 5, 5))),
            '12 channels cannot be split among 5 heads',
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        MixMIMSwin(**settings)


@pytest.mark.parametrize(('side', 'sortings'), [(8, 2), (10, 6)])  # windows of 4 fill a map of 10 up: in each block
def test_a_stage_sorts_its_tokens_once(monkeypatch, side, sortings):
    torch.manual_seed(0)
    stage = SwinStage(8, 2, [(4, 4)] * 3, [0.0] * 3, 2.0, with_cp=False, merge=False)
    x, labels = torch.randn(2, side, side, 8, requires_grad=True), torch.randint(0, 2, (1, side, side))
    calls, own = [], Rearrange.forward
    monkeypatch.setattr(Rearrange, 'forward', staticmethod(lambda *args: (calls.append(1), own(*args))[1]))
    sorted_, by_map = stage(x, labels, in_runs=True), stage(x, labels)
    assert len(calls) == sortings
    torch.testing.assert_close(sorted_, by_map, atol=1e-6, rtol=1e-5)
    grads = [torch.autograd.grad(out.square().sum(), [x, *stage.parameters()]) for out in (sorted_, by_map)]
    for ours, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
