"""Encoders in single files that describe how to build them: safetensors with a card in the metadata."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import nn

from mixmae_mm.checkpoint.loading import load_backbone
from mixmae_mm.datasets.image_reader import IMAGENET
from mixmae_mm.models import MixingViT, MixMIMSwin
from mixmae_mm.models.utils.pos_embed import pair
from mixmae_mm.structures import Size
from mixmae_mm.utils.atomic_write import atomic_write
from mixmae_mm.utils.seed import kept_randomness
from mixmae_mm.version import __version__

ENCODERS = {'MixMIMSwin': MixMIMSwin, 'MixingViT': MixingViT}
"""The encoders that a file may name; nothing else is built."""
OF_TRAINING = ('init_cfg', 'drop_path_rate', 'frozen_stages', 'with_cp')
"""Settings that an encoder taken away does without; the first would make a file name another one."""


@dataclass(frozen=True)
class EncoderCard:
    """The metadata that is needed to use an encoder's weights."""

    type: str
    """One of `ENCODERS`."""
    settings: dict[str, object]
    """Arguments of its constructor, without those that concern training only."""
    image_size: Size
    """Height and width of its images."""
    mean: tuple[float, ...]
    """Mean of each channel, in the images' units: of photos from 0 to 255."""
    std: tuple[float, ...]
    """Standard deviation of each channel, likewise."""
    version: str = __version__
    """Version of mixmae_mm that wrote it."""
    source: str = ''
    """Name of the checkpoint that it came from, if any."""
    sha256: str = ''
    """SHA-256 of that checkpoint."""
    method: str = ''
    """Method of pre-training, if known: MixMAE, MixedAE, MAE, or another."""

    def as_text(self) -> dict[str, str]:
        """Return the card as metadata of files, text by name; what is not text as JSON."""
        fields = {name: x for name, x in asdict(self).items() if name != 'method' or x}
        return {name: x if isinstance(x, str) else json.dumps(x) for name, x in fields.items()}

    @classmethod
    def from_text(cls, text: Mapping[str, str]) -> 'EncoderCard':
        """Read what `as_text` gave; more that stands there does not matter.

        Raises:
            ValueError: there is no card, or one of something else.
        """
        if text.get('type') not in ENCODERS:
            raise ValueError(f'it does not say which encoder it holds ({", ".join(ENCODERS)}): name the model')
        try:
            read = {name: json.loads(text[name]) for name in ('settings', 'image_size', 'mean', 'std')}
            settings = {name: x for name, x in dict(read.pop('settings')).items() if name not in OF_TRAINING}
            image_size = pair(read.pop('image_size'))
            numbers = {name: tuple(map(float, x)) for name, x in read.items()}
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f'what it says of its encoder cannot be read ({error!r}): it is damaged') from error
        texts = {name: text.get(name, '') for name in ('version', 'source', 'sha256', 'method')}
        return cls(text['type'], settings, image_size, **numbers, **texts)

    def build(self, **settings: object) -> nn.Module:
        """Build the encoder, as yet without its weights; settings given go before the card's.

        Raises:
            ValueError: settings that do not fit each other, or that there are not.
        """
        try:
            return ENCODERS[self.type](**(self.settings | settings)).eval()
        except TypeError as error:
            raise ValueError(f'{self.type} cannot be built with {sorted(self.settings | settings)}: {error}') from error


def describe_encoder(
    encoder: nn.Module,
    image_size: int | Size | None = None,
    mean: tuple[float, ...] = IMAGENET['mean'],
    std: tuple[float, ...] = IMAGENET['std'],
    checkpoint: str | None = None,
    method: str = '',
) -> EncoderCard:
    """Write the card of an encoder.

    Args:
        encoder: A `MixMIMSwin` or `MixingViT`.
        image_size: Height and width that it is for, or one number for both; None takes what it was built for.
        mean: Of each channel, in the images' units: of photos from 0 to 255.
        std: The same.
        checkpoint: The file that its weights came from, if it is to be named.
        method: What it was pre-trained by (`method_of` reads it from a config), '' where that is not known.

    Raises:
        ValueError: another encoder.
    """
    kind = type(encoder).__name__
    if type(encoder) is not ENCODERS.get(kind):
        raise ValueError(f'a {kind} cannot be described: take a {" or ".join(ENCODERS)}')
    settings = {name: x for name, x in encoder.settings.items() if name not in OF_TRAINING}
    settings = json.loads(json.dumps(settings, default=dict))  # as it will be read
    size = pair(image_size or tuple(side * encoder.patch_size for side in encoder.grid))
    source = {} if checkpoint is None else dict(source=Path(checkpoint).name, sha256=hash_file(checkpoint))
    return EncoderCard(kind, settings, size, tuple(map(float, mean)), tuple(map(float, std)), **source, method=method)


def method_of(model: Mapping) -> str:
    """Return what a config's model is pre-trained by; '' for one that is not a pre-training of ours."""
    kind = str(model.get('type')).rpartition('.')[2]
    if kind != 'MixedAE':
        return kind if kind in ('MixMAE', 'MAE') else ''
    if model['data_preprocessor'].get('num_sources') == 1:
        return 'MAE'
    return 'naive mixing' if mixes_naively(model['backbone']) and not model.get('contrast') else 'MixedAE'


def mixes_naively(settings: Mapping) -> bool:
    """Return whether a `MixingViT` does nothing about its images being mixtures."""
    return settings.get('attention') == 'global' and not settings.get('segment_embedding', True)


def hash_file(path: str | Path) -> str:
    """Compute the sha256 of a file; '' of one at an address."""
    if '://' in str(path):
        return ''
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def save_encoder(encoder: nn.Module, path: str | Path, card: EncoderCard | None = None) -> Path:
    """Write an encoder, by the official names, and its card, to a .safetensors file; a file that is there is replaced.

    Raises:
        ValueError: another extension, or an encoder that cannot be described.
    """
    from safetensors.torch import save

    path = Path(path)
    if path.suffix != '.safetensors':
        raise ValueError(f'{path} should end in .safetensors')
    card = card or describe_encoder(encoder)
    weights = {name: x.detach().cpu().contiguous() for name, x in encoder.state_dict().items()}
    content = save(weights, metadata=dict(format='pt', **card.as_text()))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(content)
    return path


def read_card(path: str | Path) -> EncoderCard:
    """Read the card of a file, without its weights.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no metadata, or is not a .safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise FileNotFoundError(f'there is no file {path}')
    try:
        with safe_open(path, framework='pt') as file:
            return EncoderCard.from_text(file.metadata() or {})
    except SafetensorError as error:
        raise ValueError(f'{path} is not a .safetensors file, so it cannot describe its encoder: {error}') from error
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error


@kept_randomness()
def load_encoder(path: str | Path, **settings: object) -> nn.Module:
    """Build the encoder that a file describes, and load its weights, in evaluation mode.

    Args:
        path: What `save_encoder` wrote.
        settings: Put in the place of the file's, such as `img_size` and `out_indices`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it has no card, or settings do not fit it.
    """
    encoder = read_card(path).build(**settings)
    load_backbone(encoder, str(path))
    return encoder
