"""PlainViT: the vision transformer that MixingViT extends.

Parameter names and initialization are those of the official MAE, so its weights need only a prefix to load, and ours
load wherever MAE's do.

Letters: B images, C channels, H x W pixels, h x w = N patches, n <= N of them encoded.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mixmae_mm.mixing import scatter_tokens
from mixmae_mm.models.backbones.archs import read_vit_arch
from mixmae_mm.models.backbones.base import Encoder, drop_path_rates
from mixmae_mm.models.utils.attention import Attention, FixedKeys, KeySelection
from mixmae_mm.models.utils.layers import Block, PatchEmbed, init_linear_layers
from mixmae_mm.models.utils.padding import PADDING, blank_tokens
from mixmae_mm.models.utils.pos_embed import pair
from mixmae_mm.models.utils.windows import WindowedAttention, Windows, plan_windows
from mixmae_mm.structures import Size
from mixmae_mm.utils.validation import check_indices, check_one_of, check_rate, check_whole

OUT_TYPES = ('featmap', 'avg_featmap', 'cls_token')
EXTRA = 1  # number of tokens before the patches: CLS


class PlainViT(Encoder):
    """Vision transformer for images of any size, which it pads with zeros to whole patches.

    Arguments not listed here have their usual meaning.

    Args:
        arch: One of `VIT_ARCHS`, or a dict with `embed_dims`, `depth` and `num_heads`.
        img_size: Side or (H, W) in pixels that the position embedding is made for; it is resized for other sizes.
        out_indices: The blocks whose outputs are returned, from 0 or, if negative, from the end; later ones do not run.
        out_type: Output of the last block, named as in mmpretrain: 'featmap', the map of patches, or a 1 x 1 map:
            'avg_featmap', the mean of all patches followed by a norm (MAE's `fc_norm`), or 'cls_token'.
        final_norm: Normalize the output of the last block. Without it `out_type` must be 'featmap'.
        train_positions: Train the position embedding, as MAE does in fine-tuning but not in pre-training.
        window_size: Window of all blocks except `global_blocks`, side or (h, w) in patches; the encoder then runs
            without CLS (ViTDet, arXiv 2203.16527). None for global attention in all blocks.
        global_blocks: Indices of the blocks, from 0, that keep global attention.
        pad_value: Value, after normalization, of the pixels that pad images to a common size; no image pixel may have
            it in all channels. Padding is masked from attention. None if images are not padded.
        frozen_stages: -1 freezes nothing, 0 the embeddings, s > 0 also the first s blocks; with all blocks, the final
            `norm` is frozen, too, but not `fc_norm`.
        init_cfg: `dict(type='Pretrained', checkpoint=...)` loads weights with `load_backbone` and accepts its `prefix`
            and `min_share`.
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
        self.arch = read_vit_arch(arch)
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
        self.add_pos_embed('pos_embed', grid, dims, EXTRA, train_positions)
        self.patch_embed = PatchEmbed(patch_size, in_channels, dims, norm=False)
        self.blocks = self._build_blocks(mlp_ratio, drop_path_rate, norm_eps)
        if final_norm and depth - 1 in self.out_indices:
            self.add_module('fc_norm' if out_type == 'avg_featmap' else 'norm', nn.LayerNorm(dims, norm_eps))
        init_linear_layers(self)
        nn.init.xavier_uniform_(self.patch_embed.proj.weight.flatten(1))  # in place, as if it were a linear layer
        self._freeze()

    def _find_windowed(self, global_blocks: Sequence[int]) -> tuple[int, ...]:
        """Return the indices of the blocks with windowed attention."""
        depth = self.arch.depth
        global_blocks = check_indices(global_blocks, depth, 'global_blocks', 'blocks')
        if self.window is not None and self.out_type == 'cls_token':
            raise ValueError("window_size leaves no CLS token: set out_type to 'featmap' or 'avg_featmap'")
        return () if self.window is None else tuple(block for block in range(depth) if block not in global_blocks)

    def _build_blocks(self, mlp_ratio: float, drop_path_rate: float, norm_eps: float) -> nn.ModuleList:
        """Build the blocks, each with windowed or global attention."""
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
        """Embed the patches of images without padding (B, C, H, W): (B, N, C), and the grid (h, w)."""
        x, _ = self.embed_images(images, None, self.patch_size)
        return x.flatten(1, 2), tuple(x.shape[1:3])

    def _plan(self, grid: Size, padding: Tensor | None, device: torch.device) -> dict[int, KeySelection | Windows]:
        """Return the attention rule of each block that has one: its windows, or the mask of padding."""
        rules = {}
        if padding is not None:
            keep = F.pad((padding != PADDING).flatten(1), (self.extra, 0), value=True)
            rules = dict.fromkeys(range(self.arch.depth), FixedKeys(keep[:, None, None]))
        if self.windowed:
            rules |= dict.fromkeys(self.windowed, plan_windows(grid, self.window, padding, device))
        return rules

    def run_blocks(
        self, tokens: Tensor, rules: Mapping[int, KeySelection | Windows] | None = None
    ) -> dict[int, Tensor]:
        """Prepend CLS, if it is used, to patches (B, n, C) and run the blocks.

        `rules` are the attention rules of blocks without global attention. Returns the tokens after each block of
        `out_indices`, (B, extra + n, C).
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
        """Arrange the outputs of `run_blocks` as maps; patches outside `ids_keep` (B or 1, n) and padding are 0."""
        return tuple(self._to_map(outputs[index], index, grid, ids_keep, padding) for index in self.out_indices)

    def _to_map(self, x: Tensor, index: int, grid: Size, ids_keep: Tensor | None, padding: Tensor | None) -> Tensor:
        """Return a block's tokens (B, extra + n, C) as a map; for the last block, `out_type` selects the output."""
        patches = x[:, self.extra :]
        if padding is not None:
            patches = blank_tokens(patches.unflatten(1, grid), padding).flatten(1, 2)
        out_type = self.out_type if index == self.arch.depth - 1 else 'featmap'
        if out_type == 'cls_token':
            return x[:, 0, :, None, None]
        if out_type == 'avg_featmap':
            share = 1 if padding is None else (padding != PADDING).flatten(1).float().mean(dim=1, keepdim=True)
            return self.fc_norm((patches.mean(dim=1) / share).to(patches.dtype))[..., None, None]
        patches = patches if ids_keep is None else scatter_tokens(patches, ids_keep, grid[0] * grid[1])
        return patches.transpose(1, 2).unflatten(2, grid).contiguous()  # mmcv's RoIAlign misreads non-contiguous maps

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Return the layer id of a parameter and the number of ids, for layer-wise learning rate decay.

        MAE's rule: 0 for the embeddings, 1 to N for the N blocks, N + 1 for the norm.
        """
        ids = self.arch.depth + 2
        name = param_name.removeprefix(prefix)
        if name.startswith('blocks.'):
            return int(name.split('.')[1]) + 1, ids
        return (0 if name.startswith(('cls_token', 'pos_embed', 'segment_embed', 'patch_embed')) else ids - 1), ids

    def _frozen_parts(self) -> Iterable[nn.Module | nn.Parameter]:
        """Return the embeddings and the first blocks, and the final `norm` if all blocks are frozen."""
        embeddings = [parameter for _, parameter in self.named_parameters(recurse=False)]
        norms = [self.norm] if self.frozen_stages >= self.arch.depth and hasattr(self, 'norm') else []
        return [*embeddings, self.patch_embed, *self.blocks[: self.frozen_stages], *norms]

    def _unused_parts(self) -> Iterable[nn.Module | nn.Parameter]:
        """Return the blocks after the last returned one, and CLS if the encoder runs without it."""
        return [*self.blocks[max(self.out_indices) + 1 :], *([] if self.extra else [self.cls_token])]
