"""MixMIMSwin: the hierarchical encoder of MixMAE, a Swin transformer without shifts and with large windows.

One class for pre-training and transfer. Parameter names and initialisation are those of the official MixMIM, so that its
weights load with nothing but a prefix.

Letters: B images or mixtures, C channels, H x W pixels, h x w tokens or cells.
"""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from mixmae_mm.checkpoints import load_backbone
from mixmae_mm.models.layers import PatchEmbed, init_linear_layers
from mixmae_mm.models.positions import Size, guess_grid, pair, resize_table, sin_cos_table
from mixmae_mm.models.swin_stage import SwinStage
from mixmae_mm.models.windows import picture_labels, plan_windows
from mixmae_mm.registry import MODELS

ARCHS = {
    'tiny': dict(embed_dims=96, depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24)),
    'base': dict(embed_dims=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32)),
    'large': dict(embed_dims=192, depths=(2, 2, 18, 2), num_heads=(6, 12, 24, 48)),
    'huge': dict(embed_dims=352, depths=(2, 2, 18, 2), num_heads=(11, 22, 44, 88)),
}
"""Sizes of the official MixMIM; `tiny` is Swin-T's, for small machines."""


@MODELS.register_module()
class MixMIMSwin(BaseModule):
    """Hierarchical vision transformer with masked window attention (MixMAE, arXiv 2205.13137).

    Called with an assignment, tokens see only tokens of their own source: what the encoder says of one picture then does
    not depend on the others in the mixture. Called without, it is the encoder for transfer, for any height and width:
    what does not fill a window or the last stride is padded, hidden from attention, and cropped.

    Args:
        arch: One of `ARCHS`, or a dict with `embed_dims`, `depths` and `num_heads`, one entry a stage.
        img_size: Pixels, a side or (H, W), for which the position table is made. Other sizes stretch it.
        patch_size: Pixels a side of a patch; the last of four stages has 8 times this stride.
        in_channels: Channels of the pictures.
        window_sizes: Tokens of a window in each stage, a side or (h, w). Windows larger than the stage's map at
            `img_size` become the map.
        mlp_ratio: Width of the hidden layers over the width of the tokens.
        drop_path_rate: Stochastic depth of the last block; it grows linearly from 0 over the blocks.
        out_indices: The stages to return. All but the last get a LayerNorm of their own.
        frozen_stages: 0 freezes the patch embedding, s also the first s stages; -1 nothing.
        with_cp: Recompute blocks in the backward pass to save memory.
        init_cfg: mmengine's; `dict(type='Pretrained', checkpoint=..., prefix='backbone.')` loads weights, and raises
            when they are of another model.

    Raises:
        ValueError: an unknown `arch`, or settings that do not fit each other.
    """

    def __init__(
        self,
        arch: str | dict = 'base',
        img_size: int | Size = 224,
        patch_size: int = 4,
        in_channels: int = 3,
        window_sizes: Sequence[int | Size] = (14, 14, 14, 7),
        mlp_ratio: float = 4.0,
        drop_path_rate: float = 0.0,
        out_indices: Sequence[int] = (3,),
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        dims, depths, heads = _read_arch(arch, window_sizes, out_indices)
        self.depths = depths
        self.patch_size = patch_size
        self.stride = patch_size * 2 ** (len(depths) - 1)
        self.out_indices = tuple(out_indices)
        self.frozen_stages = frozen_stages
        self.num_features = [dims * 2**stage for stage in range(len(depths))]
        self.grid = tuple(_round_up(side, self.stride) // patch_size for side in pair(img_size))
        self.patch_embed = PatchEmbed(patch_size, in_channels, dims)
        self.absolute_pos_embed = nn.Parameter(sin_cos_table(self.grid, dims), requires_grad=False)
        rates = torch.linspace(0, drop_path_rate, sum(depths)).split(list(depths))
        windows = [self._fit_window(pair(window), stage) for stage, window in enumerate(window_sizes)]
        last = len(depths) - 1
        self.layers = nn.ModuleList(
            SwinStage(features, num_heads, window, stage_rates.tolist(), mlp_ratio, with_cp, merge=stage < last)
            for stage, (features, num_heads, window, stage_rates) in enumerate(
                zip(self.num_features, heads, windows, rates, strict=True)
            )
        )
        for stage in set(self.out_indices) - {last}:
            self.add_module(f'norm{stage}', nn.LayerNorm(self.num_features[stage]))
        self.norm = nn.LayerNorm(self.num_features[-1])
        init_linear_layers(self)
        self._freeze()

    def forward(self, images: Tensor, assignment: Tensor | None = None) -> tuple[Tensor, ...]:
        """Encode plain images, or mixtures with masked attention.

        Args:
            images: (B, C, H, W), any height and width.
            assignment: Which source each cell shows, (B or 1, cells, cells); H and W must then be multiples of the stride.

        Returns:
            A map (B, C, ceil(H / stride), ceil(W / stride)) for each of `out_indices`.
        """
        padded = F.pad(images, (0, -images.shape[-1] % self.stride, 0, -images.shape[-2] % self.stride))
        x = self.patch_embed(padded)
        real = tuple(-(-side // self.patch_size) for side in images.shape[-2:])
        x = x + self._positions(real, tuple(x.shape[1:3]))
        labels = picture_labels(real, tuple(x.shape[1:3]), assignment, x.device)
        outputs = {}
        for index, stage in enumerate(self.layers):
            # the first token of every merged block stands for it: cells and the pictures' edges never cut blocks unseen
            step = 2**index
            windows = plan_windows(
                tuple(x.shape[1:3]), stage.window, None if labels is None else labels[:, ::step, ::step], x.device
            )
            x = stage(x, windows)
            if index in self.out_indices:
                outputs[index] = self._norm_of(index)(x).permute(0, 3, 1, 2)
            x = stage.downsample(x)
        return tuple(outputs[index] for index in self.out_indices)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Tell how deep a parameter stands, for layer-wise decay: its id and the number of ids.

        The official rule: 0 for the embedding, 1 to N for the N blocks, merging layers with the first block of the next
        stage, N for what follows. The learning rate's scale is decay ** (number of ids - 1 - id), so that even the last
        has decay ** 1.
        """
        ids = sum(self.depths) + 2
        stage, _, rest = param_name.removeprefix(prefix).removeprefix('layers.').partition('.')
        if not param_name.startswith(prefix + 'layers.'):
            embedding = param_name.startswith((prefix + 'patch_embed', prefix + 'absolute_pos_embed'))
            return (0 if embedding else ids - 2), ids
        if rest.startswith('downsample'):
            return sum(self.depths[: int(stage) + 1]) + 1, ids
        return sum(self.depths[: int(stage)]) + int(rest.split('.')[1]) + 1, ids

    def init_weights(self) -> None:
        """Load what `init_cfg` asks for; everything else was initialised at construction.

        Raises:
            ValueError: the file holds another model.
        """
        configs = [self.init_cfg] if isinstance(self.init_cfg, dict) else self.init_cfg or []
        for config in configs:
            if config['type'] == 'Pretrained':
                load_backbone(self, config['checkpoint'], config.get('prefix'))
        self.init_cfg = [config for config in configs if config['type'] != 'Pretrained']
        super().init_weights()

    def train(self, mode: bool = True) -> 'MixMIMSwin':
        """Switch drop path on or off; frozen stages stay in evaluation mode."""
        super().train(mode)
        self._freeze()
        return self

    def _freeze(self) -> None:
        """Stop gradients and drop path in the frozen stages."""
        frozen = [self.patch_embed, *self.layers[: self.frozen_stages]] if self.frozen_stages >= 0 else []
        for module in frozen:
            module.eval().requires_grad_(False)

    def _norm_of(self, stage: int) -> nn.Module:
        """Find the LayerNorm of a stage's output; the last one's is the official `norm`."""
        return self.norm if stage == len(self.layers) - 1 else getattr(self, f'norm{stage}')

    def _fit_window(self, window: Size, stage: int) -> Size:
        """Shrink a window that is larger than the stage's map at `img_size`."""
        rows, columns = (side // 2**stage for side in self.grid)
        return min(window[0], rows), min(window[1], columns)

    def _positions(self, real: Size, grid: Size) -> Tensor:
        """Give the position table of a picture of `real` tokens, zero where the grid goes beyond: (1, h, w, C)."""
        table = resize_table(self.absolute_pos_embed, self.grid, real).unflatten(1, real)
        return F.pad(table, (0, 0, 0, grid[1] - real[1], 0, grid[0] - real[0]))

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        """Fit a stored position table to this grid before PyTorch copies it."""
        name = f'{prefix}absolute_pos_embed'
        if name in state_dict:
            stored = guess_grid(state_dict[name].shape[1], self.grid, name)
            state_dict[name] = resize_table(state_dict[name], stored, self.grid)
        super()._load_from_state_dict(state_dict, prefix, *args)


def _read_arch(
    arch: str | dict, window_sizes: Sequence[int | Size], out_indices: Sequence[int]
) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """Read channels, depths and heads, and refuse settings that do not fit each other."""
    if isinstance(arch, str) and arch not in ARCHS:
        raise ValueError(
            f"arch '{arch}' is unknown: take one of {', '.join(ARCHS)}, or a dict with embed_dims, depths and num_heads"
        )
    settings = ARCHS[arch] if isinstance(arch, str) else arch
    if set(settings) != {'embed_dims', 'depths', 'num_heads'}:
        raise ValueError(f'arch must hold embed_dims, depths and num_heads, got {sorted(settings)}')
    depths, heads = tuple(settings['depths']), tuple(settings['num_heads'])
    if not len(depths) == len(heads) == len(window_sizes):
        raise ValueError(
            f'one entry a stage is needed: depths has {len(depths)}, num_heads {len(heads)}, '
            f'window_sizes {len(window_sizes)}'
        )
    if not out_indices or not set(out_indices) <= set(range(len(depths))):
        raise ValueError(f'out_indices {tuple(out_indices)} must name some of the stages 0 to {len(depths) - 1}')
    return settings['embed_dims'], depths, heads


def _round_up(size: int, multiple: int) -> int:
    """Give the next multiple that is not smaller."""
    return -(-size // multiple) * multiple
