"""Image grids of homologous attention: a mixture, its assignment, and the keys that a patch of each source keeps.

Letters: G mixtures, K sources, C channels, H x W pixels, h x w = N patches.
"""

import torch
from PIL import Image
from torch import Tensor

from mixmae_mm.mixing import NOBODY, homologous, resize_assignment
from mixmae_mm.structures import HomologousMaps
from mixmae_mm.visualization.image_grid import MASKED, Mark, Panel, color_of, draw_grid, mixture_panels, tint, to_array

PALE = 0.8  # share of white in a key that no head keeps


def draw_homologous(maps: HomologousMaps, num_sources: int, seed: int, preface: str = '') -> Image.Image:
    """Draw a row for each mixture, with the precision of each query below its panel, and a caption."""
    rows, grid = mixture_panels(maps.mixed, maps.assignment), maps.assignment.shape[-2:]
    precision = maps.precision()
    for source, queries in enumerate(choose_queries(maps.assignment, num_sources, seed).T):
        images = to_array(light_up(maps, queries.clamp(min=0)))
        for g, (row, query) in enumerate(zip(rows, queries.tolist(), strict=True)):
            panel = Panel(images[g], f'a patch of {source + 1}', frame=color_of(source))
            if query >= 0:
                mark = Mark(*divmod(query, grid[1]), grid, (0, 0, 0))
                panel = panel._replace(below=f'{precision[g, query]:.0%} of its own image', marks=[mark])
            row.append(panel)
    return draw_grid(rows, preface + describe_homologous(maps))


def choose_queries(assignment: Tensor, num_sources: int, seed: int) -> Tensor:
    """Draw one patch of each source of each mixture (G, h, w): indices (G, K), -1 where a source has none."""
    owners = assignment.flatten(1).cpu()
    drawn = torch.rand(owners.shape, generator=torch.Generator().manual_seed(seed))
    best = [torch.where(owners == source, drawn, -1.0).max(dim=1) for source in range(num_sources)]
    return torch.stack([torch.where(values < 0, -1, indices) for values, indices in best], dim=1)


def light_up(maps: HomologousMaps, queries: Tensor) -> Tensor:
    """Draw how many heads of queries (G,) keep each key, from pale gray to its source's color: uint8 (G, 3, H, W)."""
    size = tuple(maps.mixed.shape[-2:])
    owners = resize_assignment(maps.assignment, size)
    rows = torch.arange(len(queries), device=maps.kept.device)
    shares = maps.kept[rows, queries.to(rows.device)].view_as(maps.assignment)
    shares = resize_assignment(shares, size)[:, None]
    pale = (1 - PALE) * maps.mixed.float().mean(1, keepdim=True) + PALE * 255
    lit = shares * tint(maps.mixed, owners) + (1 - shares) * pale
    return torch.where(owners[:, None] == NOBODY, MASKED, lit.round()).to(torch.uint8)


def describe_homologous(maps: HomologousMaps) -> str:
    """Describe the grid, with the precision over all patches and that of random keys."""
    owners = maps.assignment.flatten(1)
    owned = owners != NOBODY
    pairs = owned[:, :, None] & owned[:, None, :]
    chance = (homologous(owners) & pairs).sum() / pairs.sum()
    precision = maps.precision()[owned].mean()
    return (
        f'Block {maps.block}, mean of {maps.num_heads} heads: the keys that a query (framed) keeps, in '
        f'the colors of their true images. Of the keys kept by all patches, {precision:.0%} are of their own image '
        f'(by chance {chance:.0%}).'
    )
