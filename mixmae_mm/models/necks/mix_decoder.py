"""The decoder: from the tokens of a mixture to the pixels of every source.

Letters: G mixtures, K sources, N cells, C channels, P = cell_size * cell_size * image_channels.
"""

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mixmae_mm.mixing import gather_tokens, scatter_tokens, unmix
from mixmae_mm.models.utils.layers import Block, init_linear_layers
from mixmae_mm.models.utils.mixins import HasPosEmbed
from mixmae_mm.models.utils.pos_embed import pair, resize_pos_embed
from mixmae_mm.registry import MODELS
from mixmae_mm.structures import Size


@MODELS.register_module()
class MixDecoder(HasPosEmbed, BaseModule):
    """Decoder that un-mixes the encoder's tokens and predicts the pixels of each source with plain transformer blocks.

    Parameter names are those of the official MixMIM and MAE.

    Args:
        in_channels: Channels of the encoder's last map.
        grid_size: Side or (h, w) in cells that the position embedding is made for; it is resized for other grids.
        cell_size: Side of a cell in pixels.
        cls_token: Begin each source's sequence with the encoder's CLS token, as in MAE.
        norm_eps: Epsilon of every LayerNorm; MixMIM uses 1e-5, MAE 1e-6.
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
        cls_token: bool = False,
        norm_eps: float = 1e-5,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.cls_token = cls_token
        self.mask_token = nn.Parameter(torch.empty(1, 1, embed_dims))
        nn.init.trunc_normal_(self.mask_token, std=0.02)
        self.add_pos_embed('decoder_pos_embed', pair(grid_size), embed_dims, int(cls_token))
        self.decoder_embed = nn.Linear(in_channels, embed_dims)
        self.decoder_blocks = nn.ModuleList(Block(embed_dims, num_heads, norm_eps=norm_eps) for _ in range(depth))
        self.decoder_norm = nn.LayerNorm(embed_dims, norm_eps)
        self.decoder_pred = nn.Linear(embed_dims, cell_size**2 * image_channels)
        init_linear_layers(self)

    def forward(
        self,
        features: tuple[Tensor, ...],
        assignment: Tensor,
        num_sources: int,
        cls: Tensor | None = None,
        ids_keep: Tensor | None = None,
    ) -> Tensor:
        """Predict the pixels of every cell of every source, visible or masked: (G, K, N, P).

        Args:
            features: The encoder's maps, of which only the last, (G, C, h, w), is used.
            assignment: The source of each cell, (G or 1, h, w).
            num_sources: K.
            cls: The encoder's CLS token of each mixture, (G, C), if `cls_token` is set.
            ids_keep: Indices of the cells that were encoded, (G or 1, n); None for all.
        """
        _check_map(features[-1], assignment, self.decoder_embed.in_features)
        tokens = features[-1].flatten(2).transpose(1, 2)
        if ids_keep is None:
            tokens = self.decoder_embed(tokens)
        else:
            tokens = scatter_tokens(self.decoder_embed(gather_tokens(tokens, ids_keep)), ids_keep, tokens.shape[1])
        sequences = unmix(tokens, assignment.flatten(1), self.mask_token[0, 0], num_sources)
        if self.cls_token:
            if cls is None:
                raise ValueError('cls_token is set, but the encoder gives no CLS token: set cls_token=False')
            copies = self.decoder_embed(cls)[:, None, None].expand(-1, num_sources, -1, -1)
            sequences = torch.cat([copies, sequences], dim=2)
        grid, extra = tuple(features[-1].shape[-2:]), int(self.cls_token)
        x = sequences.flatten(0, 1) + resize_pos_embed(self.decoder_pos_embed, self.grid, grid, extra)
        for block in self.decoder_blocks:
            x = block(x)
        return self.decoder_pred(self.decoder_norm(x)[:, extra:]).unflatten(0, (-1, num_sources))


def _check_map(features: Tensor, assignment: Tensor, channels: int) -> None:
    """Check that the encoder's last map has this many channels and the grid of the cells."""
    if features.ndim != 4:
        raise ValueError(
            f'the encoder gives {tuple(features.shape)}, not maps (G, C, h, w): switch its pooling off '
            '(gap_before_final_norm=False for ConvNeXt)'
        )
    grid = tuple(features.shape[-2:])
    if grid != tuple(assignment.shape[-2:]):
        raise ValueError(
            f"the encoder's last map is {grid[0]} x {grid[1]}, but there are {assignment.shape[-2]} x "
            f'{assignment.shape[-1]} cells: set cell_size to the stride of the last map'
        )
    if features.shape[1] != channels:
        raise ValueError(
            f"the encoder's last map has {features.shape[1]} channels, but the decoder is for {channels}: set "
            'in_channels of the neck to those of the map'
        )
