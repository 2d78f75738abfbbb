"""The settings stated in a config's note are those of the config."""

import ast
import re

import pytest
from shipped_configs import FILES, read

COCO = 118_000  # training images


def epochs(config):
    """Return the number of epochs, those of COCO if the schedule counts iterations."""
    loop = config.train_cfg
    return loop.get('max_epochs') or round(loop.max_iters * config.auto_scale_lr.base_batch_size / COCO)


def image_size(config):
    """Return the image size that an encoder is built for, or else trained on."""
    crops = (step for step in config.train_dataloader.dataset.pipeline if 'RandomResizedCrop' in step.type)
    size = config.model.backbone.get('img_size') or config.model.data_preprocessor.get('size')
    return size or next(crops).scale


def first(sizes):
    return sizes[0] if isinstance(sizes, (tuple, list)) else sizes


def windows(backbone):
    return backbone.get('window_sizes') or backbone.window_size


# statements in a note, and the setting that each must equal
CLAIMS = {
    r'layer decay (\d\S*\d)': lambda config: config.optim_wrapper.paramwise_cfg.layer_decay_rate,
    r'weight decay (\d\S*\d)': lambda config: config.optim_wrapper.optimizer.weight_decay,
    r'drop path (\d\S*\d)': lambda config: config.model.backbone.drop_path_rate,
    r'(?:learning rate|AdamW at) (\d\S*\d)': lambda config: config.optim_wrapper.optimizer.lr,
    r'batch (?:of )?(\d+)': lambda config: config.auto_scale_lr.base_batch_size,
    r'(\d+) iterations of warm-up': lambda config: config.param_scheduler[0].end,
    r'(\d+,\d+) iterations': lambda config: config.train_cfg.max_iters,
    r'windows of (\d+)': lambda config: first(windows(config.model.backbone)),
}
# the same, in its first line only
TITLES = {r'\b(\d+) epochs': epochs, r'(?<!patches )(?:at|of|:) (\d+) px': lambda config: first(image_size(config))}


def claims():
    """List the settings stated in notes: path, number, setting."""
    for path in FILES:
        note = ast.get_docstring(ast.parse(path.read_text()))
        title, text = note.partition('\n')[0], ' '.join(note.split())
        found = [(setting, one) for words, setting in TITLES.items() for one in list(re.finditer(words, title))[:1]]
        for words, setting in CLAIMS.items():
            found += [(setting, one) for one in re.finditer(words, text, re.IGNORECASE)]
        for setting, one in found:
            yield pytest.param(path, float(one[1].replace(',', '')), setting, id=f'{path.stem}: {one[0]}')


@pytest.mark.parametrize(('path', 'said', 'setting'), [*claims()])
def test_a_note_says_what_the_config_does(path, said, setting):
    assert setting(read(path)) == pytest.approx(said)


@pytest.mark.parametrize('words', [*CLAIMS, *TITLES])
def test_each_kind_of_claim_is_found(words):
    assert any(re.search(words, claim.id.partition(': ')[2], re.IGNORECASE) for claim in claims())
