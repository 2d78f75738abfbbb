"""PlainViT: the vision transformer that MixedAEViT is when it sees plain pictures.

Parameter names and initialisation are those of the official MAE, so that its weights load with nothing but a prefix,
and ours are read by whatever reads MAE's.

Letters: B images, C channels, H x W pixels, h x w = N patches, n <= N of them encoded.
"""

from collections.abc import Mapping, Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mixmae_mm.checkpoints import load_pretrained
from mixmae_mm.mixing import put_back
from mixmae_mm.models.attention import Select
from mixmae_mm.models.layers import Block, PatchEmbed, init_linear_layers
from mixmae_mm.models.positions import Size, fit_stored_table, pair, resize_table, token_table
from mixmae_mm.models.vit_arch import check_blocks, one_of, read_arch

FINALS = ('norm', 'raw', 'mean', 'cls')
EXTRA = 1  # tokens without a place: CLS


class PlainViT(BaseModule):
    """Vision transformer for pictures of any size; what does not fill a patch is padded with zeros.

    Args:
        arch: One of `vit_arch.ARCHS`, or a dict with `embed_dims`, `depth` and `num_heads`.
        img_size: Pixels, a side or (H, W), for which the position table is made, rounded up to whole patches; other
            sizes stretch it.
        patch_size: Pixels a side of a patch.
        in_channels: Channels of the pictures.
        mlp_ratio: Width of the hidden layers over the width of the tokens.
        drop_path_rate: Stochastic depth of the last block; it grows linearly from 0 over the blocks.
        out_indices: The blocks to return, from 0 or, negative, from the end; blocks after the last are not run.
        final: What becomes of the last block's output: 'norm' is the map after the final norm, 'raw' before it. For
            classification it is a map of one cell: 'mean' of all patches with a norm after it, as in MAE's fine-tuning
            (`fc_norm`), or 'cls', the CLS token after the final norm.
        train_positions: Train the position table, as MAE's fine-tuning does; its pre-training does not.
        frozen_stages: 0 freezes the embeddings, s also the first s blocks, all blocks also the final norm; -1 nothing.
        norm_eps: Added to the variance in every LayerNorm.
        with_cp: Recompute blocks in the backward pass to save memory.
        init_cfg: mmengine's; `dict(type='Pretrained', checkpoint=..., prefix='backbone.')` loads weights, and raises
            when they are of another model.

    Raises:
        ValueError: an unknown `arch` or `final`, or blocks that there are not.
    """

    def __init__(
        self,
        arch: str | dict = 'base',
        img_size: int | Size = 224,
        patch_size: int = 16,
        in_channels: int = 3,
        mlp_ratio: float = 4.0,
        drop_path_rate: float = 0.0,
        out_indices: Sequence[int] = (-1,),
        final: str = 'norm',
        train_positions: bool = False,
        frozen_stages: int = -1,
        norm_eps: float = 1e-6,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.arch = read_arch(arch)
        dims, depth = self.arch.embed_dims, self.arch.depth
        self.patch_size = patch_size
        self.grid = tuple(-(-side // patch_size) for side in pair(img_size))
        self.out_indices = check_blocks([i + depth if i < 0 else i for i in out_indices], depth, 'out_indices')
        self.final = one_of(FINALS, final, 'final')
        self.frozen_stages = frozen_stages
        self.with_cp = with_cp
        self.cls_token = nn.Parameter(torch.empty(1, 1, dims).normal_(std=0.02))
        self.pos_embed = nn.Parameter(token_table(self.grid, dims, EXTRA), requires_grad=train_positions)
        self.patch_embed = PatchEmbed(patch_size, in_channels, dims, norm=False)
        rates = [drop_path_rate * block / max(depth - 1, 1) for block in range(depth)]
        self.blocks = nn.ModuleList(Block(dims, self.arch.num_heads, mlp_ratio, rate, norm_eps) for rate in rates)
        if final != 'raw' and depth - 1 in self.out_indices:
            self.add_module('fc_norm' if final == 'mean' else 'norm', nn.LayerNorm(dims, norm_eps))
        init_linear_layers(self)
        nn.init.xavier_uniform_(self.patch_embed.proj.weight.flatten(1))  # in place: as if it were a linear layer
        self._freeze()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Encode pictures (B, C, H, W): a map (B, C, ceil(H / patch), ceil(W / patch)) for each of `out_indices`."""
        tokens, grid = self.embed(images)
        return self.lay_out(self.run_blocks(tokens), grid)

    def embed(self, images: Tensor) -> tuple[Tensor, Size]:
        """Embed patches with their place: (B, N, C), and the grid (h, w)."""
        bottom, right = (-side % self.patch_size for side in images.shape[-2:])
        x = self.patch_embed(F.pad(images, (0, right, 0, bottom)) if bottom or right else images)
        grid = tuple(x.shape[1:3])
        return x.flatten(1, 2) + resize_table(self.pos_embed, self.grid, grid, EXTRA)[:, EXTRA:], grid

    def run_blocks(self, tokens: Tensor, rules: Mapping[int, Select] | None = None) -> dict[int, Tensor]:
        """Put CLS before tokens (B, n, C) and transform them.

        Args:
            tokens: Patches, all or some.
            rules: Which keys to keep, for the blocks in which not all are.

        Returns:
            For each of `out_indices` the tokens after that block, (B, 1 + n, C); after the last, as `final` says.
        """
        cls = self.cls_token + self.pos_embed[:, :EXTRA]
        x = torch.cat([cls.expand(len(tokens), -1, -1), tokens], dim=1)
        outputs = {}
        for index, block in enumerate(self.blocks[: max(self.out_indices) + 1]):
            x = self._run(block, x, (rules or {}).get(index))
            if index in self.out_indices:
                outputs[index] = self.norm(x) if self._is_last(index) and self.final in ('norm', 'cls') else x
        return outputs

    def lay_out(self, outputs: Mapping[int, Tensor], grid: Size, shown: Tensor | None = None) -> tuple[Tensor, ...]:
        """Make maps of what the blocks gave; patches that are not among `shown` (B or 1, n) are 0."""
        return tuple(self._to_map(outputs[index], index, grid, shown) for index in self.out_indices)

    def _is_last(self, index: int) -> bool:
        """Tell whether a block is the last."""
        return index == self.arch.depth - 1

    def _run(self, block: Block, x: Tensor, rule: Select | None) -> Tensor:
        """Run a block, or have it recomputed in the backward pass."""
        if self.with_cp and torch.is_grad_enabled():
            return checkpoint(block, x, rule, use_reentrant=False)
        return block(x, rule)

    def _to_map(self, x: Tensor, index: int, grid: Size, shown: Tensor | None) -> Tensor:
        """Lay a block's tokens (B, 1 + n, C) out on their grid, or pool the last one's to a map of one cell."""
        if self._is_last(index) and self.final == 'cls':
            return x[:, 0, :, None, None]
        if self._is_last(index) and self.final == 'mean':
            return self.fc_norm(x[:, EXTRA:].mean(dim=1))[..., None, None]
        tokens = x[:, EXTRA:] if shown is None else put_back(x[:, EXTRA:], shown, grid[0] * grid[1])
        return tokens.transpose(1, 2).unflatten(2, grid)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Tell how deep a parameter stands, for layer-wise decay: its id and the number of ids.

        MAE's rule: 0 for the embeddings, 1 to N for the N blocks, N + 1 for what follows. The learning rate's scale is
        decay ** (number of ids - 1 - id).
        """
        ids = self.arch.depth + 2
        name = param_name.removeprefix(prefix)
        if name.startswith('blocks.'):
            return int(name.split('.')[1]) + 1, ids
        return (0 if name.startswith(('cls_token', 'pos_embed', 'segment_embed', 'patch_embed')) else ids - 1), ids

    def init_weights(self) -> None:
        """Load what `init_cfg` asks for; everything else was initialised at construction.

        Raises:
            ValueError: the file holds another model.
        """
        load_pretrained(self)
        super().init_weights()

    def train(self, mode: bool = True) -> 'PlainViT':
        """Switch drop path on or off; frozen blocks stay in evaluation mode."""
        super().train(mode)
        self._freeze()
        return self

    def _freeze(self) -> None:
        """Stop gradients and drop path in what is frozen, and gradients in what no output needs."""
        if self.frozen_stages >= 0:
            embeddings = [p for name, p in self.named_parameters(recurse=False)]
            norms = [self.norm] if self.frozen_stages >= self.arch.depth and hasattr(self, 'norm') else []
            for frozen in (*embeddings, self.patch_embed, *self.blocks[: self.frozen_stages], *norms):
                frozen.requires_grad_(False)
                if isinstance(frozen, nn.Module):
                    frozen.eval()
        self.blocks[max(self.out_indices) + 1 :].requires_grad_(False)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        """Fit a stored position table to this grid before PyTorch copies it."""
        fit_stored_table(state_dict, f'{prefix}pos_embed', self.grid, EXTRA)
        super()._load_from_state_dict(state_dict, prefix, *args)
