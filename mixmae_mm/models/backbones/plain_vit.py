"""PlainViT: the vision transformer that MixingViT is when it sees plain images.

Parameter names and initialization are those of the official MAE, so that its weights load with nothing but a prefix,
and ours are read by whatever reads MAE's.

Letters: B images, C channels, H x W pixels, h x w = N patches, n <= N of them encoded.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mixmae_mm.mixing import scatter_tokens
from mixmae_mm.models.backbones.base import Encoder, drop_path_rates
from mixmae_mm.models.backbones.vit_archs import read_arch
from mixmae_mm.models.utils.attention import Attention, FixedKeys, Select
from mixmae_mm.models.utils.layers import Block, PatchEmbed, init_linear_layers
from mixmae_mm.models.utils.padding import PADDING, blank_tokens
from mixmae_mm.models.utils.pos_embed import pair
from mixmae_mm.models.utils.vit_windows import WindowedAttention
from mixmae_mm.models.utils.windows import Windows, plan_windows
from mixmae_mm.structures import Size
from mixmae_mm.utils.validation import check_indices, check_one_of, check_rate, check_whole

OUT_TYPES = ('featmap', 'avg_featmap', 'cls_token')
EXTRA = 1  # tokens without a place: CLS


class PlainViT(Encoder):
    """Vision transformer for images of any size; what does not fill a patch is padded with zeros.

    Args:
        arch: One of `vit_archs.ARCHS`, or a dict with `embed_dims`, `depth` and `num_heads`.
        img_size: Pixels, a side or (H, W), for which the position embedding is made; other sizes resize it.
        patch_size: Pixels a side of a patch.
        in_channels: Channels of the images.
        mlp_ratio: Width of the hidden layers over the width of the tokens.
        drop_path_rate: Stochastic depth of the last block; it grows linearly from 0 over the blocks.
        out_indices: The blocks to return, from 0 or, negative, from the end; blocks after the last are not run.
        out_type: What the last block returns, by mmpretrain's names: 'featmap', the map of patches, or a map of one
            cell: 'avg_featmap', the mean of all patches with a norm after it (MAE's `fc_norm`), or 'cls_token'.
        final_norm: Normalize what the last block returns. Without it, as detectors want it, `out_type` is 'featmap'.
        train_positions: Train the position embedding, as MAE's fine-tuning does; its pre-training does not.
        window_size: Patches of the windows, a side or (h, w), that all blocks but `global_blocks` look inside, without
            CLS (ViTDet, arXiv 2203.16527). None for a ViT whose blocks see all.
        global_blocks: The blocks, from 0, that still see all.
        pad_value: What fills images up to the size of their batch, after normalizing, and no pixel has in all channels;
            it is masked from attention. None where images fill their batch.
        frozen_stages: 0 freezes the embeddings, s also the first s blocks, all blocks also the final norm; -1 nothing.
        norm_eps: Added to the variance in every LayerNorm.
        with_cp: Recompute blocks in the backward pass to save memory.
        init_cfg: mmengine's; `dict(type='Pretrained', checkpoint=...)` loads weights by `load_backbone`, which takes
            `prefix` and `min_share`.
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
        out_type: str = 'featmap',
        final_norm: bool = True,
        train_positions: bool = False,
        window_size: int | Size | None = None,
        global_blocks: Sequence[int] = (),
        pad_value: float | None = None,
        frozen_stages: int = -1,
        norm_eps: float = 1e-6,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        check_whole(patch_size=patch_size, in_channels=in_channels)
        check_rate(drop_path_rate=drop_path_rate)
        self.arch = read_arch(arch)
        depth, dims = self.arch.depth, self.arch.embed_dims
        self.patch_size, self.pad_value = patch_size, pad_value
        self.frozen_stages, self.with_cp = frozen_stages, with_cp
        out_indices = [index + depth if index < 0 else index for index in out_indices]
        self.out_indices = check_indices(out_indices, depth, 'out_indices', 'blocks')
        self.out_type, self.final_norm = check_one_of(OUT_TYPES, out_type=out_type), final_norm
        if not final_norm and out_type != 'featmap':
            raise ValueError(f"out_type '{out_type}' needs the final norm: leave final_norm out, or take 'featmap'")
        self.window = None if window_size is None else pair(window_size)
        self.windowed = self._find_windowed(global_blocks)
        self.cls_token = nn.Parameter(torch.empty(1, 1, dims).normal_(std=0.02))
        grid = tuple(-(-side // patch_size) for side in pair(img_size))
        self.add_positions('pos_embed', grid, dims, EXTRA, train_positions)
        self.patch_embed = PatchEmbed(patch_size, in_channels, dims, norm=False)
        self.blocks = self._build_blocks(mlp_ratio, drop_path_rate, norm_eps)
        if final_norm and depth - 1 in self.out_indices:
            self.add_module('fc_norm' if out_type == 'avg_featmap' else 'norm', nn.LayerNorm(dims, norm_eps))
        init_linear_layers(self)
        nn.init.xavier_uniform_(self.patch_embed.proj.weight.flatten(1))  # in place: as if it were a linear layer
        self._freeze()

    def _find_windowed(self, global_blocks: Sequence[int]) -> tuple[int, ...]:
        """Return the blocks that look inside windows."""
        depth = self.arch.depth
        seeing_all = check_indices(global_blocks, depth, 'global_blocks', 'blocks')
        if self.window is not None and self.out_type == 'cls_token':
            raise ValueError("with window_size there is no CLS: take 'featmap' or 'avg_featmap' for out_type")
        return () if self.window is None else tuple(block for block in range(depth) if block not in seeing_all)

    def _build_blocks(self, mlp_ratio: float, drop_path_rate: float, norm_eps: float) -> nn.ModuleList:
        """Make the blocks."""
        arch = self.arch
        kinds = [WindowedAttention if block in self.windowed else Attention for block in range(arch.depth)]
        return nn.ModuleList(
            Block(arch.embed_dims, arch.num_heads, mlp_ratio, rate, norm_eps, kind)
            for rate, kind in zip(drop_path_rates(drop_path_rate, arch.depth), kinds, strict=True)
        )

    @property
    def extra(self) -> int:
        """Number of tokens before the patches."""
        return EXTRA if self.window is None else 0

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Encode images (B, C, H, W): a map (B, C, ceil(H / patch), ceil(W / patch)) for each of `out_indices`."""
        x, padding = self.embed_images(images, self.pad_value, self.patch_size)
        grid = tuple(x.shape[1:3])
        outputs = self.run_blocks(x.flatten(1, 2), self._plan(grid, padding, images.device))
        return self.lay_out(outputs, grid, padding=padding)

    def embed(self, images: Tensor) -> tuple[Tensor, Size]:
        """Embed the patches of images that fill their batch (B, C, H, W): (B, N, C), and the grid (h, w)."""
        x, _ = self.embed_images(images, None, self.patch_size)
        return x.flatten(1, 2), tuple(x.shape[1:3])

    def _plan(self, grid: Size, padding: Tensor | None, device: torch.device) -> dict[int, Select | Windows]:
        """Return the attention rule of each block that has one: windows, and images without padding."""
        rules = {}
        if padding is not None:
            shown = F.pad((padding != PADDING).flatten(1), (self.extra, 0), value=True)
            rules = dict.fromkeys(range(self.arch.depth), FixedKeys(shown[:, None, None]))
        if self.windowed:
            rules |= dict.fromkeys(self.windowed, plan_windows(grid, self.window, padding, device))
        return rules

    def run_blocks(self, tokens: Tensor, rules: Mapping[int, Select | Windows] | None = None) -> dict[int, Tensor]:
        """Put CLS, if there is one, before patches (B, n, C) and transform them.

        `rules` say what patches may see, for the blocks in which it is not everything. Returned are the tokens after
        each of `out_indices`, (B, extra + n, C).
        """
        cls = (self.cls_token + self.pos_embed[:, :EXTRA])[:, : self.extra]
        x = torch.cat([cls.expand(tokens.shape[0], -1, -1), tokens], dim=1)
        outputs = {}
        for index, block in enumerate(self.blocks[: max(self.out_indices) + 1]):
            rule = (rules or {}).get(index)
            if self.with_cp and torch.is_grad_enabled():
                x = checkpoint(block, x, rule, use_reentrant=False)
            else:
                x = block(x, rule)
            if index in self.out_indices:
                outputs[index] = self.norm(x) if hasattr(self, 'norm') and index == self.arch.depth - 1 else x
        return outputs

    def lay_out(
        self, outputs: Mapping[int, Tensor], grid: Size, ids_keep: Tensor | None = None, padding: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Make maps of what the blocks gave; patches not among `ids_keep` (B or 1, n), or of `padding`, are 0."""
        return tuple(self._to_map(outputs[index], index, grid, ids_keep, padding) for index in self.out_indices)

    def _to_map(self, x: Tensor, index: int, grid: Size, ids_keep: Tensor | None, padding: Tensor | None) -> Tensor:
        """Lay a block's tokens (B, extra + n, C) out on their grid, or pool the last one's to a map of one cell."""
        patches = x[:, self.extra :]
        if padding is not None:
            patches = blank_tokens(patches.unflatten(1, grid), padding).flatten(1, 2)
        out_type = self.out_type if index == self.arch.depth - 1 else 'featmap'
        if out_type == 'cls_token':
            return x[:, 0, :, None, None]
        if out_type == 'avg_featmap':
            share = 1 if padding is None else (padding != PADDING).flatten(1).float().mean(dim=1, keepdim=True)
            return self.fc_norm(patches.mean(dim=1) / share)[..., None, None]
        patches = patches if ids_keep is None else scatter_tokens(patches, ids_keep, grid[0] * grid[1])
        return patches.transpose(1, 2).unflatten(2, grid).contiguous()  # RoIAlign of mmcv misreads other maps

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Return how deep a parameter stands, for layer-wise decay: its id and the number of ids.

        MAE's rule: 0 for the embeddings, 1 to N for the N blocks, N + 1 for what follows.
        """
        ids = self.arch.depth + 2
        name = param_name.removeprefix(prefix)
        if name.startswith('blocks.'):
            return int(name.split('.')[1]) + 1, ids
        return (0 if name.startswith(('cls_token', 'pos_embed', 'segment_embed', 'patch_embed')) else ids - 1), ids

    def _frozen_parts(self) -> Iterable[nn.Module | nn.Parameter]:
        """Return the embeddings, the first blocks, and with all of these the final norm."""
        embeddings = [parameter for _, parameter in self.named_parameters(recurse=False)]
        norms = [self.norm] if self.frozen_stages >= self.arch.depth and hasattr(self, 'norm') else []
        return [*embeddings, self.patch_embed, *self.blocks[: self.frozen_stages], *norms]

    def _unused_parts(self) -> Iterable[nn.Module | nn.Parameter]:
        """Return the blocks after the last output, and CLS where there are windows."""
        return [*self.blocks[max(self.out_indices) + 1 :], *([] if self.extra else [self.cls_token])]
