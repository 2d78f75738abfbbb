"""Draw what encoders of a study attend to in whole photos, and which keys they keep in a mixture, run beside run.

    python docs/figures/recognition.py NAME=RUN ... --images FILE FILE FILE FILE --out FOLDER

A RUN is the folder of a pre-training, with its config and last checkpoint. Writes study_attention.png, of all runs,
and study_homologous.png, of those with homologous attention, whose mixture is of the first images.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from mmengine.model import BaseModel
from PIL import Image
from torch import Tensor

from mixmae_mm.apis.attention_maps import attention_of
from mixmae_mm.apis.homologous_maps import homologous_maps_of
from mixmae_mm.apis.model import input_size
from mixmae_mm.datasets.image_reader import image_loader_of
from mixmae_mm.utils.arguments import expanded
from mixmae_mm.visualization import Panel, draw_grid, draw_homologous

ROOT = Path(__file__).resolve().parents[2]
CAPTION = (
    'What CLS attends to in the last block, mean of heads, by the square root of weights. Black: nothing; brightest: '
    'the largest weight of the panel, given below as a multiple of uniform weights.'
)


def attention_panels(model: BaseModel, images: Tensor, shown: np.ndarray, title: str) -> list[Panel]:
    """Draw the attention of CLS in images (B, C, H, W), in RGB, as a panel for each."""
    sys.path.append(str(ROOT / 'tools/visualization'))
    from drawing import heat_map

    preprocessor = model.data_preprocessor
    normalized = preprocessor.normalize(images.flip(1) if preprocessor.bgr_to_rgb else images)
    (attention,) = attention_of(model.backbone.eval(), normalized).values()
    panels = []
    for number, image in enumerate(shown):
        weights = attention.of_cls(number).mean(0).numpy()
        largest = float(weights.max())
        text = f'up to {largest / attention.equal_share(number):.1f} x'
        panels.append(Panel(heat_map(image, weights**0.5, 0, largest**0.5), title, text))
    return panels


def stacked(images: list[Image.Image]) -> Image.Image:
    """Put drawings below each other."""
    canvas = Image.new('RGB', (max(image.width for image in images), sum(image.height for image in images)), 'white')
    top = 0
    for image in images:
        canvas.paste(image, (0, top))
        top += image.height
    return canvas


def main(arguments: list[str] | None = None) -> None:
    """Draw both figures."""
    sys.path.append(str(ROOT / 'projects/studies/tools'))
    from mixture_losses import load

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runs', nargs='+', metavar='NAME=RUN')
    parser.add_argument('--images', type=expanded, nargs='+', required=True, metavar='FILE')
    parser.add_argument('--out', type=expanded, required=True, metavar='FOLDER')
    args = parser.parse_args(arguments)
    Path(args.out).mkdir(parents=True, exist_ok=True)
    columns, maps = [], []
    for text in args.runs:
        name, _, folder = text.partition('=')
        config, model = load(Path(folder))
        images = image_loader_of(config).read_all(args.images, input_size(config))
        shown = images.permute(0, 2, 3, 1).numpy()
        columns = columns or [[Panel(image, 'image') for image in shown]]
        columns.append(attention_panels(model, images.float(), shown, name))
        found = homologous_maps_of(model, images[: model.data_preprocessor.num_sources].float(), seed=2)
        if found is not None:
            maps.append(draw_homologous(found, model.data_preprocessor.num_sources, seed=2, preface=f'{name}. '))
    draw_grid([*zip(*columns, strict=True)], CAPTION).save(Path(args.out, 'study_attention.png'))
    if maps:
        stacked(maps).save(Path(args.out, 'study_homologous.png'))


if __name__ == '__main__':
    main()
