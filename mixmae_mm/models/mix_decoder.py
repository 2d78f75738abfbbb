"""The decoder: tokens of a mixture in, pixels of every source out.

Letters: G mixtures, K sources, N cells, C channels, P = cell_size * cell_size * image_channels.
"""

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mixmae_mm.mixing import unmix
from mixmae_mm.models.layers import Block, init_linear_layers
from mixmae_mm.models.positions import Size, pair, resize_table, sin_cos_table, stored_grid
from mixmae_mm.registry import MODELS


@MODELS.register_module()
class MixDecoder(BaseModule):
    """Un-mix the encoder's tokens, and predict the pixels of each source by plain transformer blocks.

    Parameter names are those of the official MixMIM (and MAE).

    Args:
        in_channels: Channels of the encoder's last map.
        grid_size: Cells, a side or (h, w), for which the position table is made; other grids stretch it.
        cell_size: Pixels a side of a cell.
        image_channels: Channels of the pictures.
        embed_dims: Channels of the decoder.
        depth: Number of blocks.
        num_heads: Heads of each block.
        init_cfg: mmengine's.
    """

    def __init__(
        self,
        in_channels: int,
        grid_size: int | Size = 7,
        cell_size: int = 32,
        image_channels: int = 3,
        embed_dims: int = 512,
        depth: int = 8,
        num_heads: int = 16,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.grid = pair(grid_size)
        self.mask_token = nn.Parameter(torch.empty(1, 1, embed_dims))
        nn.init.trunc_normal_(self.mask_token, std=0.02)
        self.decoder_pos_embed = nn.Parameter(sin_cos_table(self.grid, embed_dims), requires_grad=False)
        self.decoder_embed = nn.Linear(in_channels, embed_dims)
        self.decoder_blocks = nn.ModuleList(Block(embed_dims, num_heads) for _ in range(depth))
        self.decoder_norm = nn.LayerNorm(embed_dims)
        self.decoder_pred = nn.Linear(embed_dims, cell_size**2 * image_channels)
        init_linear_layers(self)

    def forward(self, features: tuple[Tensor, ...], assignment: Tensor, num_sources: int) -> Tensor:
        """Predict every cell of every source, shown or hidden.

        Args:
            features: The encoder's maps; the last, (G, C, h, w), is used.
            assignment: Which source each cell shows, (G or 1, h, w).
            num_sources: K.

        Returns:
            Predicted pixels (G, K, N, P), cells row by row, in a cell (row, column, channel).

        Raises:
            ValueError: what the encoder gives is no map, or not on the grid of the cells.
        """
        if features[-1].ndim != 4:
            raise ValueError(
                f'the encoder gives {tuple(features[-1].shape)}, not maps (G, C, h, w): switch its pooling off '
                '(gap_before_final_norm=False for ConvNeXt)'
            )
        grid = tuple(features[-1].shape[-2:])
        if grid != tuple(assignment.shape[-2:]):
            raise ValueError(
                f"the encoder's last map is {grid[0]} x {grid[1]}, but there are {assignment.shape[-2]} x "
                f'{assignment.shape[-1]} cells: set cell_size to the stride of the last map'
            )
        tokens = self.decoder_embed(features[-1].flatten(2).transpose(1, 2))
        sequences = unmix(tokens, assignment.flatten(1), self.mask_token[0, 0], num_sources)
        x = sequences.flatten(0, 1) + resize_table(self.decoder_pos_embed, self.grid, grid)
        for block in self.decoder_blocks:
            x = block(x)
        return self.decoder_pred(self.decoder_norm(x)).unflatten(0, (-1, num_sources))

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        """Fit a stored position table to this grid before PyTorch copies it."""
        name = f'{prefix}decoder_pos_embed'
        if name in state_dict:
            stored = stored_grid(state_dict[name], self.grid, name)
            state_dict[name] = resize_table(state_dict[name], stored, self.grid)
        super()._load_from_state_dict(state_dict, prefix, *args)
