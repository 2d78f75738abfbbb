"""Image grids of reconstructions: a row for each mixture of K images, or for each image of MAE."""

from collections.abc import Sequence

from mmengine.model import BaseModel
from PIL import Image
from torch import Tensor

from mixmae_mm.mixing import NOBODY, visible
from mixmae_mm.structures import Reconstructions
from mixmae_mm.visualization.image_grid import Panel, color_of, draw_grid, mixture_panels, to_array


def draw_rows(result: Reconstructions, caption: str, labels: Sequence[str] = ()) -> Image.Image:
    """Draw originals, mixture, assignment and reconstructions, framed in the colors of their sources."""
    rows = []
    for g, (mixture, assignment) in enumerate(mixture_panels(result.mixed, result.assignment)):
        # with one source, the assignment shows no more than the mixture
        middle = [mixture._replace(title='encoder sees')] if result.sources.shape[1] == 1 else [mixture, assignment]
        originals = _per_source('original', result.sources[g])
        rows.append([*originals, *middle, *_per_source('reconstruction', result.reconstructed[g])])
    return draw_grid(rows, caption, labels)


def _per_source(title: str, images: Tensor) -> list[Panel]:
    """Make a panel for each source (K, C, H, W), numbered and framed in its color if there are several."""
    if len(images) == 1:
        return [Panel(to_array(images[0]), title)]
    return [Panel(image, f'{title} {k + 1}', frame=color_of(k)) for k, image in enumerate(to_array(images))]


def describe(model: BaseModel, result: Reconstructions, labeled: bool = False) -> str:
    """Return a caption, which refers to the labels of rows for masking ratios if they are `labeled`."""
    size = model.head.cell_size
    mixture = f'Cells of {size} px; masked per image as on the left.' if labeled else _mixture(size, result)
    return f'{mixture} Reconstructions copy what the encoder sees and predict the rest. {flattery(model)}'.rstrip()


def flattery(model: BaseModel) -> str:
    """Describe why reconstructions look better than the predictions are; empty without `norm_pix`."""
    if not model.head.norm_pix:
        return ''
    return (
        'This flatters: predicted pixels are normalized, and each masked cell is drawn with the mean and standard '
        'deviation of its original.'
    )


def masked_labels(result: Reconstructions) -> list[str]:
    """Return the labels of the rows: the masking ratio of each original."""
    shares = visible(result.assignment, result.sources.shape[1]).float().mean((2, 3)).expand(len(result.mixed), -1)
    return ['\n'.join(['masked', *(f'{1 - share:.0%}' for share in row)]) for row in shares.tolist()]


def _mixture(cell_size: int, result: Reconstructions) -> str:
    """Describe how much of each original is masked."""
    num_sources = result.sources.shape[1]
    nobodys = (result.assignment == NOBODY).float().mean().item()
    if num_sources == 1:
        return f'Cells of {cell_size} px, {nobodys:.0%} of them masked (gray).'
    shares = visible(result.assignment, num_sources).float().mean((0, 2, 3))
    masked = [f'{1 - share:.0%}' for share in shares.tolist()]
    each = f'{masked[0]} of each' if len(set(masked)) == 1 else f'{", ".join(masked)} of originals 1 to {num_sources}'
    rest = f' {nobodys:.0%} of the cells belong to no source (gray).' if nobodys else ''
    text = f'{num_sources} images per mixture, cells of {cell_size} px, {each} masked.{rest}'
    return f'{text} Frame colors show the source of a cell.'
