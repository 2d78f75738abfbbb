import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from micro_training import finish, tool
from mmengine.config import Config
from PIL import Image
from tiny_mixmae import tiny_mixedae, tiny_model, write_files
from tool_loading import load_tool
from torch.nn import functional as F

from mixmae_mm import evaluation
from mixmae_mm.apis import FeatureExtractor
from mixmae_mm.apis.model import build_encoder
from mixmae_mm.datasets import ImageFolder
from mixmae_mm.datasets.image_reader import normalization
from mixmae_mm.evaluation import RidgeProbe, knn_accuracy, label_by_folder, probe_accuracy
from mixmae_mm.evaluation.functional.confusion import confusion_matrix, segmentation_scores

extract_features, evaluate = (load_tool(f'analysis_tools/{name}.py') for name in ('extract_features', 'evaluate'))


@pytest.fixture
def folders(tmp_path):
    """Noise of two colors, one a class: easy for any encoder, trained or not."""
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
    labeled = label_by_folder(ImageFolder(folders[1]).data_list, ['blue', 'red'])
    assert list(labeled.values()) == [0] * 8 + [1] * 8
    with pytest.raises(ValueError, match=r'^red/0\.png in .* is not in one of the 1 class folders blue$'):
        label_by_folder(ImageFolder(folders[1]).data_list, ['blue'])


def test_a_class_that_only_validation_has_is_refused_before_features_are_computed(folders, tmp_path, monkeypatch):
    (tmp_path / 'train/red').rename(tmp_path / 'red')
    for name in map(str, range(10)):
        (tmp_path / 'train' / name).mkdir()
    monkeypatch.setattr(evaluate.FeatureExtractor, 'with_names', None)
    with pytest.raises(SystemExit, match=r'red/0\.png in .*val is not in one of the 11 class folders 0, .*, 9, \.\.\.'):
        evaluate.main([write_files(tmp_path)[0], *folders])


def test_json_and_text_give_accuracies_and_chance(folders, tmp_path, capsys):
    config, checkpoint = write_files(tmp_path)
    results = []
    for arguments in ([config], [config], [config, checkpoint, '--linear-probe']):
        evaluate.main([*arguments, *folders, '--k', '5', '--json'])
        results.append(json.loads(capsys.readouterr().out))
    assert results[0] == results[1] == dict(top1=1.0, chance=0.5, k=5, temperature=0.07, whiten=None, checkpoint=None)
    extract, parts = FeatureExtractor.from_config(config, checkpoint), []
    for folder in (folders[1], folders[3]):
        names, features = extract.with_names(folder)
        parts += [torch.from_numpy(features), torch.tensor(['/red/' in name for name in names]).long()]
    probe = probe_accuracy(*parts, 2)
    assert results[2] == dict(results[0], checkpoint=checkpoint, probe_top1=probe)
    evaluate.main([config, *folders, '--k', '5', '--linear-probe'])
    assert re.match(r'k-NN top-1 100.0%, linear probe .*% \(chance 50.0%\), untrained', capsys.readouterr().out)
    printed, _ = finish(tool('analysis_tools/evaluate.py', config, checkpoint, *folders, '--k', '5', '--json'))
    assert json.loads(printed)['checkpoint'] == checkpoint  # which is all that a process prints


@pytest.mark.parametrize('method', [tiny_model, tiny_mixedae])
def test_the_accuracy_is_that_of_features_taken_one_by_one(folders, tmp_path, method, capsys):
    config, checkpoint = write_files(tmp_path, method)
    evaluate.main([config, checkpoint, *folders, '--k', '3', '--json'])
    printed = capsys.readouterr().out.splitlines()[-1]  # a log that other tests opened may come first
    encoder = build_encoder(Config.fromfile(config), checkpoint)
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in normalization(Config.fromfile(config)).values())
    parts = []
    for folder in (folders[1], folders[3]):
        files = sorted(Path(folder).rglob('*.png'))
        pixels = [torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1) for file in files]
        with torch.no_grad():
            features = [encoder(((one - mean) / std)[None])[-1].mean((2, 3))[0] for one in pixels]
        parts += [torch.stack(features), torch.tensor([file.parent.name == 'red' for file in files]).long()]
    assert json.loads(printed)['top1'] == knn_accuracy(*parts, 3, 0.07, 2)


def test_corrupt_images_are_left_out_and_counted(folders, tmp_path, capsys):
    config, _ = write_files(tmp_path)
    Path(folders[1], 'blue/0.png').write_bytes(b'no image')
    Path(folders[1], 'blue/.hidden').mkdir()
    Path(folders[1], 'blue/notes.txt').write_text('')
    Path(folders[1], '.ipynb_checkpoints').mkdir()
    evaluate.main([config, *folders, '--k', '15', '--json'])
    printed = capsys.readouterr()
    assert json.loads(printed.out)['top1'] == 1.0
    assert '1 file (1 .txt) left out; 1 of 16 images corrupt' in printed.err
    with pytest.raises(SystemExit, match='k .* 1 to .* 15 training images, got 16'):
        evaluate.main([config, *folders, '--k', '16'])


@pytest.mark.parametrize('method', [tiny_model, tiny_mixedae])
def test_what_is_written_is_what_the_extractor_computes(five_images, tmp_path, capsys, method):
    files, _ = five_images
    config, checkpoint = write_files(tmp_path, method)
    extract = FeatureExtractor.from_config(config, checkpoint, image_size=64)
    for kind in ('pooled', 'tokens'):
        out = tmp_path / 'my features' / f'{kind}.npz'
        options = ['--kind', kind, '--image-size', '64', '--batch-size', '5', '--device', 'cpu']
        extract_features.main([config, checkpoint, '--images', str(tmp_path / 'images'), '--out', str(out), *options])
        assert capsys.readouterr().out.endswith(f'{out}\n')
        written = np.load(out)
        assert written['names'].tolist() == files
        np.testing.assert_array_equal(written['features'], extract(files, kind))


def test_features_in_another_format_are_refused(tmp_path):
    config, checkpoint = write_files(tmp_path)
    with pytest.raises(SystemExit, match=r'features.csv should end in .npz'):
        extract_features.main([config, checkpoint, '--images', 'x', '--out', str(tmp_path / 'features.csv')])


@pytest.fixture
def scenes(tmp_path):
    """Images half dark and half bright, at a random edge, with masks that say so and a border without label."""
    noise = np.random.default_rng(0)
    for split, count in (('train', 6), ('val', 3)):
        for name in ('img', 'ann'):
            (tmp_path / name / split).mkdir(parents=True)
        for number in range(count):
            labels = np.zeros((32, 48), np.uint8)
            labels[:, 8 * noise.integers(2, 5) :] = 1
            pixels = 150 * labels[..., None] + noise.integers(0, 60, (32, 48, 3))
            labels[:2] = 9
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f'img/{split}/{number}.png')
            Image.fromarray(labels).save(tmp_path / f'ann/{split}/{number}.png')
    places = [('train', 'img'), ('val', 'img'), ('train-masks', 'ann'), ('val-masks', 'ann')]
    return [word for name, kind in places for word in (f'--{name}', str(tmp_path / kind / name.removesuffix('-masks')))]


DENSE = ['--image-size', '32', '48', '--ignore-index', '9', '--k', '3', '--json']


def by_hand(extract, *folders):
    """What ridge regression on the last map comes to, file by file."""
    probe, matrices = RidgeProbe(2), []
    for images, masks in zip(folders[:2], folders[2:], strict=True):
        for file in sorted(Path(images).iterdir()):
            pixels, labels = (
                torch.from_numpy(np.array(Image.open(Path(where, file.name)))) for where in (images, masks)
            )
            (maps,), grid = extract.maps(pixels.permute(2, 0, 1)[None])[0], (4, 6)
            patches = F.interpolate(maps[None], grid)[0].flatten(1).T
            if file.parent.name == 'train':
                counts = [[(part == c).sum() for c in range(2)] for row in labels.split(8) for part in row.split(8, 1)]
                probe.add(patches, torch.tensor(counts))
            else:
                scores = F.interpolate(probe.score(patches).T.unflatten(1, grid)[None], labels.shape, mode='bilinear')
                matrices.append(confusion_matrix(scores[0].argmax(0), labels.long(), 2, 9))
    scores = segmentation_scores(torch.stack(matrices))
    return dict(scores._asdict(), iou=list(scores.iou))


@pytest.mark.parametrize(('method', 'stages'), [(tiny_model, [0, 2]), (tiny_mixedae, [0, 1])])
def test_pixels_are_classified_by_features_of_patches(scenes, tmp_path, capsys, method, stages):
    config, checkpoint = write_files(tmp_path, method)
    found = []
    for options in ([], ['--stages', *map(str, stages), '--probe', 'ridge', 'knn', '--precision', 'bf16']):
        evaluate.main([config, checkpoint, *scenes, *DENSE, *options])
        found.append(json.loads(capsys.readouterr().out.splitlines()[-1]))
    assert found[0].keys() == {'ridge', 'num_classes', 'checkpoint'}
    assert (found[0]['num_classes'], found[0]['checkpoint']) == (2, checkpoint)
    assert set(found[1]) == {'ridge', 'knn', 'num_classes', 'checkpoint'}
    for scores in (found[1]['ridge'], found[1]['knn']):
        assert scores['miou'] == pytest.approx(sum(scores['iou']) / 2)
        assert 0.75 < scores['miou'] <= scores['pixel_accuracy'] <= 1
    assert found[0]['ridge'] == by_hand(FeatureExtractor.from_config(config, checkpoint), *scenes[1::2])
    evaluate.main([config, checkpoint, *scenes, *DENSE[:-1], '--num-classes', '3'])
    assert re.search(
        r'^ridge: mIoU .*%, pixel accuracy .*% \(3 classes\), .*pth$', capsys.readouterr().out, re.MULTILINE
    )


def test_patches_of_stages_are_normalized(scenes, tmp_path, monkeypatch):
    config, checkpoint = write_files(tmp_path, tiny_mixedae)
    seen, images = [], 255 * torch.rand(2, 3, 32, 48)
    monkeypatch.setattr(evaluation, 'report_segmentation', lambda encode, *others: seen.append(encode(images)) or {})
    for options in (['--stages', '0', '1'], ['--cfg-options', 'model.backbone.out_indices=(0,1)']):  # of them the last
        evaluate.main([config, checkpoint, *scenes, *DENSE, *options])
    stages, (last,) = seen
    assert len(stages) == 2
    for maps in stages:
        torch.testing.assert_close(maps.mean(dim=1), torch.zeros(2, 4, 6), atol=1e-5, rtol=0)
    torch.testing.assert_close(last, FeatureExtractor.from_config(config, checkpoint).maps(images)[-1])


def test_few_labels_are_reported_with_mean_and_deviation(folders, tmp_path, capsys):
    config, _ = write_files(tmp_path)
    options = ['--k', '5', '--few-labels', '25%', '1', '--draws', '3']
    evaluate.main([config, *folders, *options, '--json'])
    few = json.loads(capsys.readouterr().out)['few_labels']
    assert few.keys() == {'25%', '1'}
    assert few['25%'].keys() == {'top1', 'probe_top1'}
    assert few['25%']['top1'] == dict(mean=1, std=0)
    evaluate.main([config, *folders, *options])
    said = capsys.readouterr().out.splitlines()[1]
    assert re.match(r'with few labels \(25%\): k-NN top-1 100.0% \+- 0.0%, linear probe .*% \+- .*%', said)


def test_wrong_masks_and_options_end_with_one_message(scenes, folders, tmp_path, capsys):
    config, _ = write_files(tmp_path)
    for words, said in [
        ([*scenes[:6]], '--train-masks and --val-masks go together'),
        ([*scenes, '--linear-probe', '--few-labels', '5'], '--linear-probe, --few-labels: of labeled images, without'),
        ([*scenes, '--whiten', '8', '--draws', '3'], '--whiten, --draws: of labeled images, without masks'),
        ([*folders, '--stages', '0', '--probe', 'knn'], '--probe, --stages: of images with masks: give --train-m'),
        ([*folders, '--bank-size', '9', '--num-classes', '3'], '--num-classes, --bank-size: of images with masks'),
        ([*folders, '--ignore-index', '255'], '--ignore-index: of images with masks'),
        ([*folders, '--img-suffix', '.png', '--seg-map-suffix', '.png'], '--img-suffix, --seg-map-suffix: of images'),
        ([*folders, '--few-labels', '5', 'all'], "--few-labels: 'all' is not an amount of labels"),
        ([*folders, '--few-labels', '5', '--draws', '1'], '--draws 1: give 2 or more'),
    ]:
        with pytest.raises(SystemExit, match='2'):
            evaluate.main([config, *words])
        assert said in capsys.readouterr().err
    for words, said in [
        (scenes, 'the mask has label 9, but classes are 0 to 1'),
        ([*scenes, '--seg-map-suffix', '_labels.png'], '6 of 6 images have no mask'),
        ([*scenes, '--stages', '7'], r'out_indices \(7,\) must be among the stages 0 to 3'),
    ]:
        with pytest.raises(SystemExit, match=said):
            evaluate.main([config, *words, '--num-classes', '2'])
