"""Encoders on the Hugging Face Hub, or in a folder of the same content: weights, config, model card; never code.

    address = push_to_hub(encoder, 'user/name', licence='apache-2.0')
    encoder = from_hub('user/name', out_indices=(0, 1, 2, 3))
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

from torch import nn

from mixmae_mm.apis.encoder_file import EncoderCard, describe_encoder, load_encoder, mixes_naively, save_encoder
from mixmae_mm.utils.atomic_write import atomic_write

WEIGHTS, CONFIG, README = 'model.safetensors', 'config.json', 'README.md'
PAPERS = {
    'MixMAE': 'https://arxiv.org/abs/2205.13137',
    'MixedAE': 'https://arxiv.org/abs/2303.17152',
    'MAE': 'https://arxiv.org/abs/2111.06377',
}
"""Methods and their papers."""

MODEL_CARD = """---
{licence}library_name: mixmae_mm
pipeline_tag: image-feature-extraction
tags:
- mixmae_mm
{tag}- masked-image-modeling
- self-supervised-learning
---

# {name}

A {type} encoder for images of {height} x {width} pixels, written by mixmae_mm {version}.

```python
from mixmae_mm.apis import FeatureExtractor, fetch, from_hub

extract = FeatureExtractor.from_file(fetch('{name}'))
extract('image.jpg')                # the mean of the last map
encoder = from_hub('{name}')          # the encoder itself, an nn.Module
```

It was trained with mean {mean} and std {std} of each channel (RGB from 0 to 255 where there are three). {source}

The settings that it is built with stand in `{config}` and among the metadata of `{weights}`, which holds the weights
by their official names, and nothing that could run.

## Citation

Please cite {citation}
"""


def save_pretrained(
    encoder: nn.Module,
    folder: str | Path,
    card: EncoderCard | None = None,
    licence: str | None = None,
    name: str | None = None,
) -> Path:
    """Write an encoder to a folder in the format of the hub: model.safetensors, config.json, README.md.

    Args:
        encoder: A `MixMIMSwin` or `MixingViT`.
        folder: Where to; files of these names are replaced, others stay.
        card: Its description; None describes it with ImageNet's mean and std.
        licence: Of the weights, as the hub names it; None names none.
        name: Its name in the model card; None takes the folder's name.

    Raises:
        ValueError: an encoder that cannot be described.
    """
    folder, card = Path(folder), card or describe_encoder(encoder)
    save_encoder(encoder, folder / WEIGHTS, card)
    config = dict(architectures=[card.type], library_name='mixmae_mm', **asdict(card))
    texts = {CONFIG: json.dumps(config, indent=2) + '\n', README: _model_card(card, licence, name or folder.name)}
    for file, text in texts.items():
        with atomic_write(folder / file) as stream:
            stream.write(text.encode())
    return folder


def _model_card(card: EncoderCard, licence: str | None, name: str) -> str:
    """Return the text of the model card."""
    method, citation = _method(card)
    source = f'Its weights are those of `{card.source}` (sha256 {card.sha256}).' if card.source else ''
    return MODEL_CARD.format(
        licence='' if licence is None else f'license: {licence}\n',
        tag=f'- {method.lower()}\n' if method else '',
        name=name,
        height=card.image_size[0],
        width=card.image_size[1],
        source=source,
        config=CONFIG,
        weights=WEIGHTS,
        citation=citation,
        **{field: getattr(card, field) for field in ('type', 'version', 'mean', 'std')},
    )


def _method(card: EncoderCard) -> tuple[str, str]:
    """Return the method that an encoder was pre-trained by, '' if it is not known, and the authors to cite."""
    known = card.method or ('MixMAE' if card.type == 'MixMIMSwin' else _method_by_settings(card.settings))
    authors = {name: f'the authors of {name}: {paper}' for name, paper in PAPERS.items()}
    if known == 'naive mixing':
        return 'MAE', f'{authors["MAE"]}, of which it is the variant that mixes images, and {authors["MixedAE"]}'
    if known:
        return known, authors.get(known, f'the authors of {known}')
    return '', f'{authors["MAE"]}, whose encoder it is, and those of what it was pre-trained by, which is not said here'


def _method_by_settings(settings: Mapping[str, object]) -> str:
    """Return the pre-training of a plain ViT by its settings: only mixtures have several sources."""
    if settings.get('num_sources', 1) == 1:
        return ''
    return 'naive mixing' if mixes_naively(settings) else 'MixedAE'


def push_to_hub(
    encoder: nn.Module,
    repo_id: str,
    card: EncoderCard | None = None,
    licence: str | None = None,
    private: bool = False,
    token: str | None = None,
    message: str = 'Encoder by mixmae_mm',
) -> str:
    """Upload an encoder to the hub, as `save_pretrained` writes it, and return the address of the commit.

    Args:
        encoder: A `MixMIMSwin` or `MixingViT`.
        repo_id: 'user/name'; made if it is not there.
        card: As of `save_pretrained`.
        licence: The same.
        private: Make new repositories private.
        token: Of the hub; None takes that of `hf auth login`.
        message: Of the commit.

    Raises:
        ImportError: huggingface_hub is not installed.
        ValueError: an encoder that cannot be described; nothing was sent.
    """
    hub = _import_hub()
    with TemporaryDirectory() as folder:
        save_pretrained(encoder, folder, card, licence, repo_id)
        api = hub.HfApi(token=token)
        api.create_repo(repo_id, private=private, exist_ok=True)
        return str(api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=message))


def fetch(place: str | Path, revision: str | None = None) -> str:
    """Return the path of an encoder's file, downloaded where it is not here.

    Args:
        place: A folder that `save_pretrained` wrote, or a 'user/name' on the hub.
        revision: A branch, tag or commit of the hub.

    Raises:
        ImportError: huggingface_hub is not installed; for a folder it need not be.
        ValueError: there is no model.safetensors: other files are not read, since pickles could run code.
    """
    folder = Path(place)
    if not folder.is_dir():
        folder = Path(_import_hub().snapshot_download(str(place), revision=revision, allow_patterns=[WEIGHTS, CONFIG]))
    if not (folder / WEIGHTS).is_file():
        found = sorted(file.name for file in folder.iterdir())[:5]
        raise ValueError(
            f'{place} holds no {WEIGHTS} (but {found}), and nothing else is taken from there, since it could run code: '
            f'have it written by save_pretrained or push_to_hub'
        )
    return str(folder / WEIGHTS)


def from_hub(place: str | Path, revision: str | None = None, **settings: object) -> nn.Module:
    """Build an encoder from a folder or from the hub, in evaluation mode.

    Args:
        place: As of `fetch`.
        revision: The same.
        settings: Replace stored ones, such as `img_size` and `out_indices`.

    Raises:
        ImportError: as of `fetch`.
        ValueError: the same; settings that do not fit, or a file without a card.
    """
    return load_encoder(fetch(place, revision), **settings)


def _import_hub() -> ModuleType:
    """Import huggingface_hub."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise ImportError('the hub needs huggingface_hub: pip install huggingface_hub') from error
    return huggingface_hub
