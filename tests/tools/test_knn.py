import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from tiny_mixmae import tiny_mixedae, tiny_model, write_files
from tool_loading import TOOLS, load_tool

knn = load_tool('analysis/knn.py')


def brute_force(train, train_labels, val, val_labels, k, temperature, num_classes):
    """The protocol written out: one picture, one neighbour at a time."""
    right = 0
    for feature, label in zip(val.tolist(), val_labels.tolist(), strict=True):
        ranking = []
        for other, its in zip(train.tolist(), train_labels.tolist(), strict=True):
            product = sum(a * b for a, b in zip(feature, other, strict=True))
            ranking.append((product / math.hypot(*feature) / math.hypot(*other), its))
        votes = [0.0] * num_classes
        for similarity, its in sorted(ranking, reverse=True)[:k]:
            votes[its] += math.exp(similarity / temperature)
        right += votes.index(max(votes)) == label
    return right / len(val)


@pytest.mark.parametrize(('k', 'temperature'), [(1, 0.07), (5, 0.07), (5, 10.0), (20, 0.3), (60, 0.07)])
def test_accuracy_equals_the_loops(k, temperature):
    generator = torch.Generator().manual_seed(k)
    centres = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    labels = [torch.randint(0, 4, (size,), generator=generator) for size in (60, 40)]
    spread = [torch.randn(len(y), 6, generator=generator, dtype=torch.float64) for y in labels]
    features = [centres[y] + 1.2 * noise for y, noise in zip(labels, spread, strict=True)]
    arguments = (features[0], labels[0], features[1], labels[1], k, temperature, 4)
    accuracy = knn.knn_accuracy(*arguments)
    assert accuracy == pytest.approx(brute_force(*arguments))
    assert 0 < accuracy < 1


def test_many_far_neighbours_outvote_a_near_one_only_when_it_is_warm():
    angles = torch.tensor([0.1, 0.8, 0.9])
    train = torch.stack([angles.cos(), angles.sin()], 1) * torch.tensor([[5.0], [1.0], [0.1]])
    arguments = (train, torch.tensor([0, 1, 1]), torch.tensor([[2.0, 0.0]]), torch.tensor([0]))
    assert knn.knn_accuracy(*arguments, k=1, temperature=0.07, num_classes=2) == 1
    assert knn.knn_accuracy(*arguments, k=3, temperature=0.07, num_classes=2) == 1
    assert knn.knn_accuracy(*arguments, k=3, temperature=10.0, num_classes=2) == 0


def test_tiny_temperature_is_the_nearest_neighbour_and_does_not_overflow():
    features, labels = torch.randn(50, 8), torch.arange(50) % 5
    asked, truth = torch.randn(30, 8), torch.arange(30) % 5
    nearest = knn.knn_accuracy(features, labels, asked, truth, 1, 0.07, 5)
    assert knn.knn_accuracy(features, labels, asked, truth, 20, 1e-5, 5) == nearest


def test_chunks_do_not_matter():
    features, labels = torch.randn(40, 4), torch.arange(40) % 2
    assert knn.knn_accuracy(features, labels, features.repeat(60, 1), labels.repeat(60), 1, 0.07, 2) == 1


def test_impossible_settings_are_refused():
    features, labels = torch.randn(4, 2), torch.zeros(4, dtype=torch.long)
    with pytest.raises(ValueError, match='^5 neighbours of 4 training pictures: give a k from 1 to that number$'):
        knn.knn_accuracy(features, labels, features, labels, 5, 0.07, 1)
    with pytest.raises(ValueError, match='^temperature 0: give a positive number$'):
        knn.knn_accuracy(features, labels, features, labels, 1, 0, 1)


def test_pictures_are_normalised_by_the_configs_numbers_else_imagenets():
    pictures = torch.full((1, 3, 1, 1), 100.0)
    ours = Config(dict(model=dict(data_preprocessor=dict(mean=[100.0, 90.0, 80.0], std=[1.0, 2.0, 4.0]))))
    assert knn.normaliser(ours)(pictures).flatten().tolist() == [0, 5, 5]
    red = knn.normaliser(Config(dict(model=dict())))(pictures)[0, 0].item()
    assert red == pytest.approx((100 - 123.675) / 58.395)


@pytest.fixture
def folders(tmp_path):
    """Noise of two colours, one a class: easy for any encoder, trained or not."""
    noise = np.random.default_rng(0)
    for split, count in (('train', 8), ('val', 4)):
        for name, channel in (('blue', 2), ('red', 0)):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = noise.integers(0, 60, (32, 32, 3), np.uint8)
                pixels[..., channel] += 180
                Image.fromarray(pixels).save(tmp_path / split / name / f'{number}.png')
    return ['--train', str(tmp_path / 'train'), '--val', str(tmp_path / 'val')]


def test_labels_are_the_class_folders(folders):
    dataset = knn.open_pictures(folders[1], ['blue', 'red'], (32, 32))
    assert [dataset[i][1] for i in range(16)] == [0] * 8 + [1] * 8
    assert dataset[15][0].float().mean((1, 2)).argmax() == 0
    with pytest.raises(ValueError, match=r'^red/0.png in .* is in none of the class folders blue$'):
        knn.open_pictures(folders[1], ['blue'], (32, 32))


def test_command_line_tells_accuracy_and_chance(folders, tmp_path, capsys):
    config, checkpoint = write_files(tmp_path)
    results = []
    for arguments in ([config], [config], [config, checkpoint]):
        knn.main([*arguments, *folders, '--k', '5', '--json'])
        results.append(json.loads(capsys.readouterr().out))
    assert results[0] == results[1] == dict(top1=1.0, chance=0.5, k=5, temperature=0.07, checkpoint=None)
    assert results[2] == dict(results[0], checkpoint=checkpoint)
    knn.main([config, *folders, '--k', '5'])
    assert capsys.readouterr().out == 'kNN top-1 100.0% (chance 50.0%), untrained encoder\n'


def test_json_is_all_that_a_process_prints_on_standard_output(folders, tmp_path):
    config, checkpoint = write_files(tmp_path)
    command = [sys.executable, str(TOOLS / 'analysis/knn.py'), config, checkpoint, *folders, '--k', '5', '--json']
    environment = dict(os.environ, PYTHONPATH=str(TOOLS.parent))
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert json.loads(printed)['checkpoint'] == checkpoint


def test_checkpoint_is_what_is_judged(folders, tmp_path):
    config, checkpoint = write_files(tmp_path)
    encoder = knn.build_encoder(Config.fromfile(config), checkpoint)
    stored = torch.load(checkpoint)['state_dict']
    assert all(torch.equal(value.cpu(), stored[f'backbone.{name}']) for name, value in encoder.state_dict().items())
    untrained = knn.build_encoder(Config.fromfile(config), None)
    assert not torch.equal(untrained.patch_embed.proj.weight, encoder.patch_embed.proj.weight)


@pytest.mark.parametrize(('method', 'dims'), [(tiny_model, 64), (tiny_mixedae, 8)])
def test_features_are_the_mean_of_the_last_map_in_order(folders, tmp_path, method, dims):
    config = Config.fromfile(write_files(tmp_path, method)[0])
    encoder, normalise = knn.build_encoder(config, None), knn.normaliser(config)
    dataset = knn.open_pictures(folders[1], ['blue', 'red'], (32, 32))
    features, labels = knn.extract(encoder, normalise, dataset, batch_size=5, workers=0)
    with torch.no_grad():
        alone = encoder(normalise(dataset[11][0][None].float().to(features.device)))[-1].mean((2, 3))
    assert features.shape == (16, dims)
    assert torch.allclose(features[11], alone[0], atol=1e-5)
    assert labels.tolist() == [0] * 8 + [1] * 8


def test_pretrained_encoders_settings_do_not_reach_for_their_file(tmp_path):
    config = Config.fromfile(write_files(tmp_path)[0])
    config.model.backbone.init_cfg = dict(type='Pretrained', checkpoint='nowhere.pth', prefix='backbone.')
    knn.build_encoder(config, None)
    assert config.model.backbone.init_cfg.checkpoint == 'nowhere.pth'


def test_wrong_inputs_end_with_one_message(folders, tmp_path):
    config, checkpoint = write_files(tmp_path)
    with pytest.raises(SystemExit, match='20 neighbours of 16 training pictures'):
        knn.main([config, *folders])
    torch.save(dict(state_dict={'other.weight': torch.zeros(3)}), tmp_path / 'other.pth')
    with pytest.raises(SystemExit, match=r"does not go with this MixMIMSwin: no name ends in patch_embed"):
        knn.main([config, str(tmp_path / 'other.pth'), *folders])
    with pytest.raises(SystemExit, match='does not exist'):
        knn.main([config, checkpoint, '--train', folders[1], '--val', str(tmp_path / 'nowhere')])
