"""The encoder as one class for pre-training and transfer: any size, settings, freezing, memory, depths."""

import pytest
import torch
from references import build_encoder

from mixmae_mm.models import MixMIMSwin
from mixmae_mm.models.utils.cpu_kernels import sort_windows
from mixmae_mm.models.utils.pos_embed import relative_index
from mixmae_mm.models.utils.windows import plan_windows

TINY = dict(embed_dim=16, depths=[1, 1, 2, 1], num_heads=[1, 2, 4, 8], patch_size=4, window_size=[7, 7, 7, 4])


def tiny(size=224, **settings):
    return build_encoder(dict(TINY, img_size=size), **settings)


def test_windows_against_loops():
    tokens = torch.arange(2 * 5 * 7 * 3.0).view(2, 5, 7, 3)
    windows = plan_windows((5, 7), (2, 3), None, tokens.device)
    parts = windows.partition(tokens)
    assert parts.shape == (2, 9, 6, 3)
    for row in range(6):
        for column in range(9):
            window, token = (row // 2) * 3 + column // 3, (row % 2) * 3 + column % 3
            inside = row < 5 and column < 7
            expected = tokens[:, row, column] if inside else torch.zeros(2, 3)
            assert torch.equal(parts[:, window, token], expected)
    assert torch.equal(windows.reverse(parts), tokens)
    last_window = windows.keep[0, 8]
    assert last_window[0].tolist() == [True] + [False] * 5


@pytest.mark.parametrize('grid', [(4, 6), (5, 7)], ids=['fitting', 'padded'])
def test_sorted_windows_against_loops(grid):
    tokens, labels = torch.randn(2, *grid, 3), torch.randint(0, 3, (1, *grid))
    windows = sort_windows(grid, (2, 3), labels)
    plain = plan_windows(grid, (2, 3), labels, tokens.device)
    assert torch.equal(windows.reverse(windows.partition(tokens)), tokens)
    unsorted, arranged = plain.partition(tokens), windows.partition(tokens).flatten(1, 2)
    height, width = (-(-side // step) * step for side, step in zip(grid, (2, 3), strict=True))
    places = [  # of the tokens of each window on the padded grid
        [(top + row) * width + left + column for row in range(2) for column in range(3)]
        for top in range(0, height, 2)
        for left in range(0, width, 3)
    ]
    assert windows.keep is None
    start, seen, pairs = 0, torch.zeros_like(plain.keep), []
    for length in windows.segments:
        window = start // 6
        segment = torch.tensor([places[window].index(token) for token in windows.order[start : start + length]])
        assert torch.equal(arranged[:, start : start + length], unsorted[:, window, segment])
        seen[0, window, segment[:, None], segment] = True
        pairs += [relative_index((2, 3), (2, 3))[query, key].item() for query in segment for key in segment]
        start += length
    assert start == arranged.shape[1]
    assert torch.equal(seen, plain.keep)
    assert windows.pairs.tolist() == pairs


def test_recomputing_gives_the_same_gradients():
    images = torch.randn(2, 3, 64, 64)
    gradients, calls = [], []
    for with_cp in (False, True):
        torch.manual_seed(3)
        encoder = tiny(64, with_cp=with_cp, drop_path_rate=0.5).train()
        calls.append([])
        for stage in encoder.layers:
            for block in stage.blocks:
                block.attn.register_forward_hook(lambda *args: calls[-1].append(1))
        encoder(images)[0].square().sum().backward()
        gradients.append({name: p.grad for name, p in encoder.named_parameters() if p.requires_grad})
    assert [len(one) for one in calls] == [5, 10]
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
    with pytest.raises(ValueError, match=f'{size} x {size} pixels .*{cells} x {cells} cells'):
        tiny()(torch.randn(1, 3, size, size), torch.zeros(1, cells, cells, dtype=torch.int64))
