import pytest
import torch
from tiny_mixmae import build, tiny_mixedae

from mixmae_mm.apis import reconstruction_inferencer
from mixmae_mm.mixing import resize_assignment, visible


def test_each_group_is_led_by_its_first_image_and_mixed_as_the_assignment_says(five_images):
    bgr, each = dict(take_turns=False, bgr_to_rgb=True), dict(shared_assignment=False)
    for settings in (dict(), dict(num_sources=4), each, bgr):
        model, pixels = build(**settings), five_images[1][:4]
        result = reconstruction_inferencer.reconstruct(model, pixels.float(), seed=1)
        num_sources = settings.get('num_sources', 2)
        assert torch.equal(result.sources, pixels.unflatten(0, (-1, num_sources)))
        shown = visible(resize_assignment(result.assignment, (32, 32)), num_sources)[:, :, None]
        assert torch.equal(result.mixed, (result.sources * shown).sum(1).to(torch.uint8))
        assert torch.equal(result.reconstructed * shown, result.sources * shown)
        assert not torch.equal(result.reconstructed, result.sources)


def test_seed_decides_the_mixture(five_images):
    model, pixels = build(), five_images[1][:4].float()
    first, again, other = (reconstruction_inferencer.reconstruct(model, pixels, seed).assignment for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_named_files_keep_their_order_and_fill_whole_groups(five_images):
    paths = five_images[0]
    assert reconstruction_inferencer.find_images(paths[::-1], 6, 2, seed=0) == paths[:0:-1]
    with pytest.raises(ValueError, match=r'^2 image\(s\) cannot be mixed by 3: give 3 or more$'):
        reconstruction_inferencer.find_images(paths[:2], 6, 3, seed=0)


def test_folder_gives_a_seeded_choice_without_repeats(five_images, tmp_path):
    choices = [reconstruction_inferencer.find_images([str(tmp_path)], 4, 2, seed) for seed in (0, 0, 1, 2, 3)]
    assert choices[0] == choices[1]
    assert len({tuple(choice) for choice in choices}) > 2
    assert all(len(set(choice)) == 4 and set(choice) <= set(five_images[0]) for choice in choices)


@pytest.mark.parametrize(
    ('settings', 'changes', 'shown'),
    [
        (dict(), dict(num_sources=4), [4, 4, 4, 4]),
        (dict(mask_ratio=0.25), dict(num_sources=4), [4, 4, 4, 4]),  # equal shares by default
        (dict(), dict(mask_ratio=0.75), [4, 12]),
        (dict(shares=(0.25, 0.25)), dict(mask_ratio=0.5), [8, 8]),
        (dict(), dict(num_sources=1, mask_ratio=0.75), [4]),
        (dict(), dict(), [8, 8]),
    ],
)
def test_mixing_otherwise(five_images, settings, changes, shown):
    model = build(**settings)
    reconstruction_inferencer.mix_otherwise(model, **changes)
    result = reconstruction_inferencer.reconstruct(model, five_images[1][:4].float(), seed=0)
    assert visible(result.assignment, len(shown))[0].sum((1, 2)).tolist() == shown
    assert result.sources.shape[1] == len(shown)


def test_mixing_that_a_model_does_not_take():
    with pytest.raises(ValueError, match='^mixtures of 2 images, but this encoder is for 4: so are its segment emb'):
        reconstruction_inferencer.mix_otherwise(build(tiny_mixedae), 2)
    reconstruction_inferencer.mix_otherwise(build(tiny_mixedae), 4, 0.5)
    for ratio in (0, 1, -0.5):
        with pytest.raises(ValueError, match='give a share above 0 and below 1$'):
            reconstruction_inferencer.mix_otherwise(build(), mask_ratio=ratio)
    with pytest.raises(
        ValueError, match='^one image a mixture leaves nothing to reconstruct: give a masking ratio too$'
    ):
        reconstruction_inferencer.mix_otherwise(build(), 1)
