"""`mixmae pretrain --from`: weights of every layout, of the whole model or only the encoder, at a lower rate."""

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from tool_loading import load_tool

from mixmae_mm.apis import save_encoder
from mixmae_mm.checkpoint.key_mapping import to_mmpretrain, to_official
from mixmae_mm.utils.launching import load_config

pretrain = load_tool('pretrain.py')
SWIN, VIT = 'mixmae', 'mae'


def build(method, size='micro'):
    init_default_scope('mmpretrain')
    return MODELS.build(load_config(pretrain.find_recipes()[method][size]).model)


def without_decoder(official):
    return {name: x for name, x in official.items() if not name.startswith(('mask_token', 'decoder_'))}


def as_timm(model):
    """Return a timm classifier: the official names, with a head."""
    head = {'head.weight': torch.randn(1000, 128), 'head.bias': torch.randn(1000)}
    return without_decoder(to_official(model.state_dict())) | head


def as_detector(model):
    """Return a detector with our encoder, whose neck is not a decoder."""
    encoder = {name: x for name, x in model.state_dict().items() if name.startswith('backbone.')}
    return dict(state_dict=encoder | {'neck.lateral_convs.0.conv.weight': torch.randn(8, 8, 1, 1)})


# method, what the file holds, whether with the decoder
FILES = {
    'ours': (SWIN, lambda model: dict(state_dict=model.state_dict(), meta={}), True),
    'official MixMIM': (SWIN, lambda model: dict(model=to_official(model.state_dict())), True),
    'its encoder': (SWIN, lambda model: without_decoder(to_official(model.state_dict())), False),
    'MixMIM of mmpretrain': (SWIN, lambda model: dict(state_dict=to_mmpretrain(model.state_dict())), True),
    'a detector': (SWIN, as_detector, False),
    'official MAE': (VIT, lambda model: dict(model=to_official(model.state_dict())), True),
    'its published encoder': (VIT, lambda model: dict(model=without_decoder(to_official(model.state_dict()))), False),
    'timm': (VIT, as_timm, False),
}


def args_of(tmp_path, checkpoint, *options, method=SWIN):
    (tmp_path / 'images').mkdir(exist_ok=True)
    given = [tmp_path / 'images', '--method', method, '--size', 'micro', '--out', tmp_path / 'out', *options]
    return pretrain.parse_args([*map(str, given), '--from', str(checkpoint)])


def started(tmp_path, checkpoint, *options, method=SWIN):
    """Write the config of a command, build and initialize its model; return the config and the model's weights."""
    config = load_config(pretrain.write_config(args_of(tmp_path, checkpoint, *options, method=method)))
    init_default_scope('mmpretrain')
    model = MODELS.build(config.model)
    model.init_weights()
    return config, model.state_dict()


def equal(part, model, weights):
    """Return whether all randomly initialized parameters of a part equal those of a model."""
    drawn = [name for name, _ in model.named_parameters() if name.startswith(part) and not name.endswith('pos_embed')]
    random = [name for name in drawn if name.endswith(('.weight', '_token')) and 'norm' not in name]
    assert random
    return {torch.equal(weights[name], model.state_dict()[name]) for name in random} == {True}


@pytest.mark.parametrize('kind', FILES)
def test_a_file_of_each_layout_fills_what_it_holds(tmp_path, kind, capsys):
    method, content, whole = FILES[kind]
    model, checkpoint = build(method), tmp_path / 'weights.pth'
    torch.save(content(model), checkpoint)
    config, weights = started(tmp_path, checkpoint, method=method)
    assert equal('backbone.', model, weights)
    assert equal('neck.', model, weights) == whole
    init = dict(type='Pretrained', checkpoint=str(checkpoint))
    parts = config.model, config.model.backbone
    assert [part.get('init_cfg') for part in (parts if whole else parts[::-1])] == [init, None]
    assert ('encoder and decoder' if whole else 'the encoder only') in capsys.readouterr().out
    assert config.optim_wrapper.optimizer.lr == pytest.approx(2e-3 / 4)


def test_an_encoder_that_describes_itself(tmp_path):
    model = build(SWIN)
    checkpoint = save_encoder(model.backbone, tmp_path / 'encoder.safetensors')
    config, weights = started(tmp_path, checkpoint)
    assert equal('backbone.', model, weights)
    assert not equal('neck.', model, weights)
    assert config.model.backbone.init_cfg.checkpoint == str(checkpoint)


def test_other_options_go_with_it(tmp_path, monkeypatch):
    """The lower rate is kept with another precision; images can have another size; the path becomes absolute."""
    model = build(SWIN)
    torch.save(model.state_dict(), tmp_path / 'weights.pth')
    monkeypatch.chdir(tmp_path)
    config, weights = started(tmp_path, 'weights.pth', '--precision', 'bf16', '--image-size', '96')
    assert (config.optim_wrapper.dtype, config.optim_wrapper.optimizer.lr) == ('bfloat16', pytest.approx(5e-4))
    assert config.optim_wrapper.optimizer.weight_decay == 0.05
    assert config.model.init_cfg.checkpoint == str(tmp_path / 'weights.pth')
    assert equal('', model, weights)
    assert weights['neck.decoder_pos_embed'].shape[1] > model.state_dict()['neck.decoder_pos_embed'].shape[1]


def test_settings_of_the_command_line_are_those_of_the_model_that_is_checked(tmp_path):
    model, checkpoint = build(SWIN), tmp_path / 'weights.pth'
    torch.save(to_official(model.state_dict()), checkpoint)
    settings = '--cfg-options', 'model.neck.depth=2'
    text = r'holds \d+% of the parameters, all are needed. Missing: .*neck.decoder_blocks.1'
    with pytest.raises(ValueError, match=text):
        started(tmp_path, checkpoint, *settings)
    torch.save(without_decoder(to_official(model.state_dict())), checkpoint)
    assert pretrain.write_config(args_of(tmp_path, checkpoint, *settings)).is_file()


def test_the_share_of_the_rate_is_said_where_the_run_has_it(tmp_path, capsys):
    torch.save(build(SWIN).state_dict(), tmp_path / 'weights.pth')
    for settings, said in (['train_cfg.max_epochs=9'], True), (['optim_wrapper.optimizer.lr=1e-3'], False):
        path = pretrain.write_config(args_of(tmp_path, tmp_path / 'weights.pth', '--cfg-options', *settings))
        assert load_config(path).optim_wrapper.optimizer.lr == (pytest.approx(5e-4) if said else 1e-3)
        path.unlink()
        assert ("; at 0.25 of the recipe's learning rate" in capsys.readouterr().out) is said


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (lambda: build(VIT).state_dict(), 'does not fit this MixMAE: '),
        (lambda: without_decoder(to_official(build(VIT).state_dict())), 'does not fit this MixMIMSwin: '),
        (lambda: {'weight': torch.zeros(1)}, r'no name ends in patch_embed\.proj\.weight'),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_written(tmp_path, content, message):
    torch.save(content(), tmp_path / 'weights.pth')
    with pytest.raises(ValueError, match=message):
        pretrain.write_config(args_of(tmp_path, tmp_path / 'weights.pth'))
    assert not (tmp_path / 'out').exists()


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match='there is no checkpoint .*weights.pth'):
        pretrain.write_config(args_of(tmp_path, tmp_path / 'weights.pth'))
