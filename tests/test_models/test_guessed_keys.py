"""MixMAE's encoder with what MixedAE has: keys that are guessed, and vectors of sources."""

import pytest
import torch
from mmengine.registry import MODELS
from tiny_mixmae import SWIN, build, mixmae, tiny_model, write_files

from mixmae_mm.apis.attention_maps import attention_of
from mixmae_mm.apis.homologous_maps import homologous_maps_of
from mixmae_mm.apis.reconstruction_inferencer import mix_otherwise
from mixmae_mm.checkpoint.loading import load_backbone
from mixmae_mm.mixing import mix_images, random_assignment, resize_assignment
from mixmae_mm.models.utils.homologous_attention import guess_keys
from mixmae_mm.models.utils.padding import PADDING

WINDOWS = dict(arch=SWIN, img_size=32, patch_size=1, window_sizes=(16, 8, 8, 4))  # all of several cells


def encoder(**settings):
    settings = WINDOWS | dict(out_indices=(0, 1, 2, 3)) | settings
    model = MODELS.build(dict(type='mixmae_mm.MixMIMSwin', **settings)).eval()
    torch.manual_seed(0)
    for parameter in model.parameters():  # the vectors come last
        parameter.data.normal_(std=0.3)
    return model


def model_of(**settings):
    return mixmae(WINDOWS | settings, 64, head=dict(norm_pix=True))


@pytest.fixture
def mixture():
    assignment = random_assignment(1, (4, 4), 2)
    return mix_images(torch.randn(2, 2, 3, 32, 32), assignment), assignment


@pytest.mark.parametrize('batch', [1, 2], ids=['shared labels', 'own labels'])
def test_guesses_against_loops(batch):
    """Two heads, three windows of six tokens, one of them partly and one of them wholly padding."""
    labels = torch.tensor([[0, 1, 0, 1, 1, 1], [1, 0, 0, 1, PADDING, PADDING], [PADDING] * 6]).repeat(batch, 1, 1)
    labels[-1, 0] = torch.tensor([0, 0, 0, 1, 1, 0])
    query, key, bias = torch.randn(2, 3, 2, 6, 4), torch.randn(2, 3, 2, 6, 4), torch.randn(2, 6, 6)
    kept, precision = guess_keys(query, key, bias, labels)
    right = total = 0
    for image in range(2):
        for window in range(3):
            own = labels[image % batch, window].tolist()
            for head in range(2):
                for row in range(6):
                    alike = [i for i in range(6) if (own[i] == PADDING) == (own[row] == PADDING)]
                    logits = {
                        i: query[image, window, head, row] @ key[image, window, head, i] / 2 + bias[head, row, i]
                        for i in alike
                    }
                    best = sorted(alike, key=logits.get)[-own.count(own[row]) :]
                    assert kept[image, window, head, row].nonzero().flatten().tolist() == sorted(best)
                    if own[row] != PADDING:
                        right += sum(own[i] == own[row] for i in best)
                        total += len(best)
    assert precision.item() == pytest.approx(right / total)
    assert 0 < right < total


def test_with_one_source_nothing_is_left_to_guess(mixture):
    model = encoder(attention='homologous')
    for guessed, plain in zip(model(mixture[0], torch.zeros(1, 4, 4).long()), model(mixture[0]), strict=True):
        torch.testing.assert_close(guessed, plain, atol=1e-5, rtol=1e-5)
    assert [share.item() for share in model.precision.values()] == [1] * 4


def test_guessed_keys_are_neither_the_true_ones_nor_all(mixture):
    maps = {attention: encoder(attention=attention)(*mixture) for attention in ('true', 'homologous', 'global')}
    for true, guessed, plain, alone in zip(*maps.values(), encoder()(mixture[0]), strict=True):
        assert (true - guessed).abs().max() > 1e-3
        assert (plain - guessed).abs().max() > 1e-3
        assert torch.equal(plain, alone)


@pytest.mark.parametrize('stage', range(4))
def test_vectors_of_a_source_reach_its_tokens_from_their_stage_on(stage, mixture):
    model, (images, assignment) = encoder(num_segments=2), mixture
    before = model(images, assignment)
    model.segment_embed[stage].data[1] += torch.randn(model.num_features[stage])
    for index, (one, other) in enumerate(zip(before, model(images, assignment), strict=True)):
        own = resize_assignment(assignment, tuple(one.shape[-2:]))[0] == 1
        changed = (one - other).abs().amax(1)
        assert not changed[:, ~own].any()
        assert bool((changed[:, own] > 0).all()) == (index >= stage)
    assert all(torch.equal(*maps) for maps in zip(model(images), encoder()(images), strict=True))


def test_tokens_of_no_source_have_no_vector(mixture):
    images, assignment = mixture
    model, nobodys = encoder(num_segments=2), torch.full_like(assignment, -1)
    first = model(images, nobodys)
    for vectors in model.segment_embed:
        vectors.data.add_(1)
    assert all(torch.equal(*maps) for maps in zip(first, model(images, nobodys), strict=True))


def test_the_vectors_are_left_out_in_transfer(tmp_path):
    write_files(tmp_path, lambda: model_of(num_segments=2))
    wanted = torch.load(tmp_path / 'checkpoint.pth')['state_dict']
    assert sum('segment_embed' in name for name in wanted) == 4
    plain = encoder(out_indices=(3,))
    load_backbone(plain, str(tmp_path / 'checkpoint.pth'), min_share=1.0)
    assert torch.equal(plain.layers[2].blocks[0].mlp.fc1.weight, wanted['backbone.layers.2.blocks.0.mlp.fc1.weight'])


def test_steps_log_the_precision_and_train_the_vectors():
    torch.manual_seed(0)
    model = build(lambda: model_of(attention='homologous', num_segments=2)).train()
    losses = model(torch.randn(4, 3, 32, 32), mode='loss')
    shares = {name: share.item() for name, share in losses.items() if name.startswith('topk_precision')}
    assert shares.keys() == {f'topk_precision/block_{index}' for index in range(4)}
    assert all(0.4 < share < 1 for share in list(shares.values())[:2])
    losses['loss_reconstruction'].backward()
    assert all(vectors.grad.abs().sum() > 0 for vectors in model.backbone.segment_embed)
    losses = build(tiny_model)(torch.randn(4, 3, 32, 32), mode='loss')
    assert not any('precision' in name for name in losses)


def test_drawn_attention_keeps_what_is_guessed():
    torch.manual_seed(0)
    model = build(lambda: model_of(attention='homologous'))
    images = model.data_preprocessor.mix(torch.randn(2, 3, 32, 32))
    (found,) = attention_of(model.backbone, images, [0]).values()
    dropped = ~found.keep
    assert dropped.any()
    assert not found.weights[dropped.expand_as(found.weights)].any()
    same = resize_assignment(images.assignment, (32, 32)).flatten(1)[:, found.places[0]]
    assert not torch.equal(found.keep[:, :, 0], (same[..., None] == same[:, :, None]).expand(2, -1, -1, -1))


@pytest.mark.parametrize('settings', [dict(num_segments=2), dict(attention='homologous')])
def test_settings_that_need_the_assignment_are_refused_without_it(settings):
    with pytest.raises(ValueError, match='masked_attention=False .*no assignment'):
        build(lambda: model_of(**settings) | dict(masked_attention=False))


def test_too_few_vectors_are_refused():
    with pytest.raises(ValueError, match='2 images, .*vectors for 1: set num_segments to 2'):
        build(lambda: model_of(num_segments=1))
    model = build(lambda: model_of(num_segments=2))
    with pytest.raises(ValueError, match='mixtures of 3 images, .*vectors for 2'):
        mix_otherwise(model, num_sources=3)


def test_the_vectors_are_frozen_with_their_stage_and_decay_as_embeddings():
    model = encoder(num_segments=2, frozen_stages=2)
    assert [vectors.requires_grad for vectors in model.segment_embed] == [False, False, True, True]
    assert model.get_layer_depth('backbone.segment_embed.3', 'backbone.')[0] == 0
    with torch.autocast('cpu', torch.bfloat16):
        maps = [encoder(num_segments=number).layers[1](torch.zeros(1, 16, 16, 16)).dtype for number in (0, 2)]
    assert maps[0] == maps[1]


def test_monitored_reconstructions_need_no_map_of_recognition():
    model = build(lambda: model_of(attention='homologous'))
    assert homologous_maps_of(model, torch.randn(2, 3, 32, 32), seed=0) is None
