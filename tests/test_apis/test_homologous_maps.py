import pytest
import torch
from tiny_mixmae import build, tiny_mixedae, tiny_model

from mixmae_mm.apis.homologous_maps import homologous_maps_of
from mixmae_mm.apis.reconstruction_inferencer import reconstruct
from mixmae_mm.mixing import NOBODY
from mixmae_mm.structures import HomologousMaps
from mixmae_mm.utils.seed import seed_everything


def test_precision_by_loops():
    kept = torch.rand(2, 6, 6)
    assignment = torch.tensor([[[0, 1, 1], [2, 0, 1]], [[0, 0, 0], [1, 1, 2]]])
    found = HomologousMaps(torch.zeros(2, 3, 4, 6), assignment, kept, 3, 2).precision()
    for g in range(2):
        whose = assignment[g].flatten().tolist()
        for query in range(6):
            right = sum(kept[g, query, key] for key in range(6) if whose[key] == whose[query])
            assert found[g, query] == pytest.approx(float(right / kept[g, query].sum()), rel=1e-5)


@pytest.mark.parametrize('settings', [dict(), dict(num_sources=2), dict(take_turns=True)])
def test_precision_of_all_queries_is_what_training_logs(settings):
    model = build(tiny_mixedae, **settings)
    images = torch.randint(0, 256, (8, 3, 32, 32)).float()
    found = homologous_maps_of(model, images, seed=5)
    seed_everything(5)
    losses = model(**model.data_preprocessor({'inputs': images}, training=True), mode='loss')
    num_sources = settings.get('num_sources', 4)
    assert len(found.mixed) == 8 // num_sources
    assert found.block == 1
    assert found.num_heads == 2
    torch.testing.assert_close(found.kept.sum(2), torch.full((8 // num_sources, 16), 16.0 / num_sources))
    if not settings.get('take_turns'):  # of which only the first of each group is shown
        torch.testing.assert_close(found.precision().mean(), losses['topk_precision/block_1'])


def test_the_mixtures_are_those_of_the_reconstructions():
    model = build(tiny_mixedae)
    images = torch.randint(0, 256, (8, 3, 32, 32)).float()
    found, drawn = homologous_maps_of(model, images, seed=2), reconstruct(model, images, seed=2)
    assert torch.equal(found.mixed, drawn.mixed)
    assert torch.equal(found.assignment, drawn.assignment)


def test_patches_of_nobody_neither_keep_nor_are_kept():
    model = build(tiny_mixedae, num_sources=2, shares=(0.25, 0.25))
    found = homologous_maps_of(model, torch.randint(0, 256, (4, 3, 32, 32)).float(), seed=0)
    nobody = found.assignment.flatten(1) == NOBODY
    assert nobody.sum(1).tolist() == [8, 8]
    for g in range(2):
        assert (found.kept[g][nobody[g]] == 0).all()
        assert (found.kept[g][:, nobody[g]] == 0).all()
        assert found.kept[g][~nobody[g]].sum(1).tolist() == [4.0] * 8  # half of the 8 that are shown


def test_models_that_choose_no_keys_return_nothing():
    images = torch.randint(0, 256, (4, 3, 32, 32)).float()
    assert homologous_maps_of(build(tiny_model), images, 0) is None
    assert homologous_maps_of(build(tiny_mixedae, num_sources=1, mask_ratio=0.5), images, 0) is None
    model = build(tiny_mixedae)
    model.backbone.attention = 'true'
    assert homologous_maps_of(model, images, 0) is None
