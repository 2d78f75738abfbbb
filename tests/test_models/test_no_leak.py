"""With masked attention, no feature of one source depends on another: exactly 0, in every stage."""

import pytest
import torch
from references import build_encoder

from mixmae_mm.mixing import mix_images, random_assignment, resize_assignment
from mixmae_mm.models.utils.pos_embed import pair

ARCH = dict(embed_dim=16, depths=[2, 2, 2, 2], num_heads=[1, 2, 4, 8], patch_size=4)
CASES = {
    'windows across cells': dict(ARCH, img_size=224, window_size=[14, 14, 14, 7]),
    'windows in cells': dict(ARCH, img_size=128, window_size=[4, 4, 4, 2]),
    'padded windows, not square': dict(ARCH, img_size=(160, 96), window_size=[14, 12, 7, 4]),
    'image larger than built for': dict(ARCH, img_size=96, window_size=[12, 12, 6, 3]),
}


def size_of(case):
    """Return the height and width of the images to try."""
    return {96: (192, 128)}.get(case['img_size']) or pair(case['img_size'])


def changes(case, sources=2, masked=True, training=False):
    """Change the last source; return the largest change at its own cells and at the others', in each stage."""
    size = size_of(case)
    encoder = build_encoder(case, out_indices=(0, 1, 2, 3)).train(training)
    assignment = random_assignment(1, (size[0] // 32, size[1] // 32), sources)
    before = torch.randn(2, sources, 3, *size)
    after = before.clone()
    after[:, -1] = torch.randn(2, 3, *size) * 3
    pairs = [encoder(mix_images(x, assignment), assignment if masked else None) for x in (before, after)]
    found = []
    for one, other in zip(*pairs, strict=True):
        own = resize_assignment(assignment, tuple(one.shape[-2:]))[0] == sources - 1
        difference = (one - other).detach().abs()
        found.append((difference[..., own].max().item(), difference[..., ~own].max().item()))
    return found


@pytest.mark.parametrize(
    ('training', 'grad'), [(True, True), (False, True), (False, False)], ids=['segments', 'explicit mask', 'fused mask']
)
@pytest.mark.parametrize('sources', [2, 4])
@pytest.mark.parametrize('case', CASES.values(), ids=CASES.keys())
def test_no_stage_leaks(case, sources, training, grad):
    with torch.set_grad_enabled(grad):
        for own, others in changes(case, sources, training=training):
            assert others == 0
            assert own > 0.1


@pytest.mark.parametrize('sources', [2, 4])
@pytest.mark.parametrize('name', CASES)
def test_without_the_mask_every_stage_leaks_whose_windows_cross_cells(name, sources):
    case = CASES[name]
    found = changes(case, sources, masked=False)
    sides = [window * 4 * 2**stage for stage, window in enumerate(case['window_size'])]
    crossing = [side > 32 or 32 % side > 0 for side in sides]
    assert sum(crossing) >= 2
    for own, others in found[crossing.index(True) :]:
        assert others > 1e-3
        assert own > 0.1


@pytest.mark.parametrize('case', CASES.values(), ids=CASES.keys())
def test_segments_compute_what_the_mask_does(case):
    size = size_of(case)
    encoder = build_encoder(case, out_indices=(0, 1, 2, 3))
    assignment, sources = random_assignment(1, (size[0] // 32, size[1] // 32), 3), torch.randn(2, 3, 3, *size)
    weights = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    results = []
    for training in (True, False):
        maps = encoder.train(training)(mix_images(sources, assignment), assignment)
        generator = torch.Generator().manual_seed(0)
        loss = sum((x * torch.randn(x.shape, generator=generator)).mean() for x in maps)
        results.append([*maps, *torch.autograd.grad(loss, weights)])
    torch.testing.assert_close(*results, atol=1e-5, rtol=1e-4)


def test_a_map_of_its_own_for_each_mixture():
    case = CASES['windows in cells']
    encoder = build_encoder(case).eval()
    sources, assignment = torch.randn(3, 2, 3, 128, 128), random_assignment(3, (4, 4), 2)
    together = encoder(mix_images(sources, assignment), assignment)[0]
    for group in range(3):
        alone = slice(group, group + 1)
        own = encoder(mix_images(sources[alone], assignment[alone]), assignment[alone])[0]
        torch.testing.assert_close(together[alone], own, atol=1e-5, rtol=0)
