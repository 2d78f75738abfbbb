import json
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
from torch.utils.data import DataLoader

knn = load_tool('analysis/knn.py')


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
    features, labels = knn.extract(encoder, normalise, DataLoader(dataset, batch_size=5))
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
