"""Encoders in files that describe how to build them, in folders of the hub's format, and on the Hugging Face Hub.

Files are safetensors with an `EncoderCard` as JSON in their metadata. No other format is read, and only our encoders
are built.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from mixmae_mm.checkpoint.loading import load_backbone
from mixmae_mm.datasets.image_reader import IMAGENET
from mixmae_mm.models import MixingViT, MixMIMSwin
from mixmae_mm.models.utils.pos_embed import pair
from mixmae_mm.structures import Size
from mixmae_mm.utils.atomic_write import atomic_write
from mixmae_mm.utils.optional import need
from mixmae_mm.utils.safe_io.checksum import sha256_of
from mixmae_mm.utils.seed import kept_randomness
from mixmae_mm.version import __version__

ENCODERS = {'MixMIMSwin': MixMIMSwin, 'MixingViT': MixingViT}
OF_TRAINING = ('init_cfg', 'drop_path_rate', 'frozen_stages', 'with_cp')
"""Settings of training, which are not stored; `init_cfg` would also make a file load another file."""
WEIGHTS, CONFIG = 'model.safetensors', 'config.json'
METADATA = 'mixmae_mm'
MODEL_CARD = """---
{license}library_name: mixmae_mm
pipeline_tag: image-feature-extraction
tags: [mixmae_mm, masked-image-modeling, self-supervised-learning]
---

# {name}

A {card.type} encoder for images of {card.image_size[0]} x {card.image_size[1]} pixels, by mixmae_mm {card.version},
normalized with mean {card.mean} and std {card.std} (RGB from 0 to 255 if three channels). Source: {card.source}

    from mixmae_mm.apis import FeatureExtractor, fetch, from_hub

    encoder = from_hub('{name}')
    features = FeatureExtractor.from_file(fetch('{name}'))('image.jpg')

Please cite the paper of its pre-training method: MixMAE (arXiv 2205.13137), MixedAE (2303.17152) or MAE (2111.06377).
"""


class EncoderCard(NamedTuple):
    """What is needed to use an encoder's weights.

    `mean` and `std` hold one number per channel, in the images' units (from 0 to 255 for photos); `source` names the
    checkpoint that the weights came from.
    """

    type: str
    settings: dict[str, object]
    image_size: Size
    mean: tuple[float, ...]
    std: tuple[float, ...]
    version: str = __version__
    source: str = 'not known'


def describe_encoder(
    encoder: nn.Module,
    image_size: int | Size | None = None,
    mean: Sequence[float] = IMAGENET['mean'],
    std: Sequence[float] = IMAGENET['std'],
    source: str = 'not known',
) -> EncoderCard:
    """Return the card of a `MixMIMSwin` or `MixingViT`; by default for the image size that it was built for.

    Raise ValueError for other encoders, and if mean and std, by default ImageNet's, are of another number of channels.
    """
    kind = type(encoder).__name__
    if type(encoder) is not ENCODERS.get(kind):
        raise ValueError(f'a {kind} cannot be described: use a {" or ".join(ENCODERS)}')
    channels = encoder.patch_embed.proj.in_channels
    if not {len(mean), len(std)} <= {1, channels}:
        raise ValueError(
            f'mean and std have {len(mean)} and {len(std)} numbers, but images have {channels} channels: pass '
            'card=describe_encoder(encoder, mean=..., std=...) with those of the training'
        )
    settings = {name: x for name, x in encoder.settings.items() if name not in OF_TRAINING}
    settings = json.loads(json.dumps(settings, default=dict))  # as they will be read
    size = pair(image_size or settings.get('img_size') or tuple(side * encoder.patch_size for side in encoder.grid))
    return EncoderCard(kind, settings, size, tuple(map(float, mean)), tuple(map(float, std)), source=source)


def save_encoder(encoder: nn.Module, path: str | Path, card: EncoderCard | None = None) -> Path:
    """Write an encoder, under the official names, and its card to a .safetensors file; an existing one is replaced."""
    path = Path(path)
    if path.suffix != '.safetensors':
        raise ValueError(f'{path} should end in .safetensors')
    card = card or describe_encoder(encoder)
    weights = {name: x.detach().cpu().contiguous() for name, x in encoder.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(save(weights, {'format': 'pt', METADATA: json.dumps(card._asdict())}))
    return path


def read_card(path: str | Path) -> EncoderCard:
    """Read the card of a file, without its weights; raise ValueError if it does not describe its encoder."""
    if not Path(path).is_file():
        raise FileNotFoundError(f'there is no file {path}')
    try:
        with safe_open(path, framework='pt') as file:
            card = EncoderCard(**json.loads((file.metadata() or {})[METADATA]))
        settings = {name: x for name, x in card.settings.items() if name not in OF_TRAINING}
        mean, std = (tuple(map(float, x)) for x in (card.mean, card.std))
        card = card._replace(settings=settings, image_size=pair(card.image_size), mean=mean, std=std)
    except SafetensorError as error:
        raise ValueError(f'{path} is not a .safetensors file, so it cannot describe its encoder: {error}') from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f'{path} does not describe its encoder, or is damaged: {error!r}; name the model') from error
    if str(card.type) not in ENCODERS:
        raise ValueError(f'{path} says it holds a {card.type}, not one of {", ".join(ENCODERS)}')
    return card


@kept_randomness()
def load_encoder(path: str | Path, **settings: object) -> nn.Module:
    """Build the encoder that a file of `save_encoder` describes, with its weights, in evaluation mode.

    `settings`, such as `img_size` and `out_indices`, override those in the file; raise ValueError if they do not fit.
    """
    card = read_card(path)
    try:
        encoder = ENCODERS[card.type](**(card.settings | settings)).eval()
    except TypeError as error:
        raise ValueError(f'{path}: {card.type} cannot be built with {card.settings | settings}: {error}') from error
    load_backbone(encoder, str(path))
    return encoder


def save_pretrained(
    encoder: nn.Module, folder: str | Path, card: EncoderCard | None = None, license: str | None = None, name: str = ''
) -> Path:
    """Write model.safetensors, config.json and README.md to a folder; `license` and `name` go into the model card."""
    folder, card = Path(folder), card or describe_encoder(encoder)
    save_encoder(encoder, folder / WEIGHTS, card)
    digest = sha256_of(folder / WEIGHTS)
    config = dict(architectures=[card.type], library_name='mixmae_mm', **card._asdict(), sha256=digest)
    license_line = f'license: {license}\n' if license else ''
    readme = MODEL_CARD.format(card=card, license=license_line, name=name or folder.name)
    for file, text in ((CONFIG, json.dumps(config, indent=2) + '\n'), ('README.md', readme)):
        with atomic_write(folder / file) as stream:
            stream.write(text.encode())
    return folder


def fetch(place: str | Path, revision: str | None = None) -> str:
    """Return the path of model.safetensors in a folder, or download it and config.json, and nothing else, from the hub.

    Raise ValueError if it is missing, because other files are not read (pickles could run code), or if it does not have
    the sha256 that config.json states.
    """
    folder = Path(place)
    if not folder.is_dir():
        download = need('huggingface_hub', 'the hub').snapshot_download
        folder = Path(download(str(place), revision=revision, allow_patterns=[WEIGHTS, CONFIG]))
    if not (folder / WEIGHTS).is_file():
        raise ValueError(f'{place} holds no {WEIGHTS}, and other files could run code: write it with save_pretrained')
    if (folder / CONFIG).is_file():
        try:
            config = json.loads((folder / CONFIG).read_text())
        except ValueError as error:
            raise ValueError(f'{folder / CONFIG} is damaged: {error}. Download or write it again') from error
        wanted = config.get('sha256') if isinstance(config, dict) else None
        if wanted not in (None, sha256_of(folder / WEIGHTS)):
            raise ValueError(
                f'{folder / WEIGHTS} is damaged: {CONFIG} has a different sha256. Download or write both again'
            )
    return str(folder / WEIGHTS)


def from_hub(place: str | Path, revision: str | None = None, **settings: object) -> nn.Module:
    """Build an encoder from a folder or from the hub, as `load_encoder` does from a file."""
    return load_encoder(fetch(place, revision), **settings)
