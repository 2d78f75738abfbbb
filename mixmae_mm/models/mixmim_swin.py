"""MixMIMSwin: the hierarchical encoder of MixMAE, a Swin transformer without shifts and with large windows.

One class for pre-training and transfer. Parameter names and initialisation are those of the official MixMIM, so that
its weights load with nothing but a prefix.

Letters: B images or mixtures, C channels, H x W pixels, h x w tokens or cells.
"""

from collections.abc import Sequence
from itertools import islice

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from mixmae_mm.checkpoints import load_pretrained
from mixmae_mm.models.layers import PatchEmbed, init_linear_layers
from mixmae_mm.models.positions import Size, fit_stored_table, pair, resize_table, sin_cos_table
from mixmae_mm.models.swin_arch import read_arch
from mixmae_mm.models.swin_stage import SwinStage
from mixmae_mm.models.windows import blank_padding, picture_labels, plan_windows
from mixmae_mm.registry import MODELS


@MODELS.register_module()
class MixMIMSwin(BaseModule):
    """Hierarchical vision transformer with masked window attention (MixMAE, arXiv 2205.13137).

    Called with an assignment, tokens see only tokens of their own source: what the encoder says of one picture then
    does not depend on the others in the mixture. Called without, it is the encoder for transfer, for any height and
    width: what does not fill a window or the last stride is padded, hidden from attention, and cropped.

    Args:
        arch: One of `swin_arch.ARCHS`, or a dict with `embed_dims`, `depths` and `num_heads`, one entry a stage.
        img_size: Pixels, a side or (H, W), for which the position table is made, rounded up to the last stride. Other
            sizes stretch it.
        patch_size: Pixels a side of a patch, the first stage's stride; each further stage doubles it.
        in_channels: Channels of the pictures.
        window_sizes: Tokens of a window in each stage, a side or (h, w). Windows larger than the stage's map at
            `img_size` become the map.
        mlp_ratio: Width of the hidden layers over the width of the tokens.
        drop_path_rate: Stochastic depth of the last block; it grows linearly from 0 over the blocks.
        out_indices: The stages to return. All but the last get a LayerNorm of their own; stages after the last
            returned one are neither run nor trained.
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
        self.arch = read_arch(arch, window_sizes, out_indices)
        self.patch_size = patch_size
        self.stride = patch_size * 2 ** (self.arch.num_stages - 1)
        self.out_indices = tuple(out_indices)
        self.frozen_stages = frozen_stages
        self.num_features = self.arch.num_features
        self.grid = tuple(_round_up(side, self.stride) // patch_size for side in pair(img_size))
        self.patch_embed = PatchEmbed(patch_size, in_channels, self.num_features[0])
        table = sin_cos_table(self.grid, self.num_features[0])
        self.absolute_pos_embed = nn.Parameter(table, requires_grad=False)
        self.layers = self._build_stages(window_sizes, mlp_ratio, drop_path_rate, with_cp)
        for stage in self.out_indices:
            self.add_module(self._norm_name(stage), nn.LayerNorm(self.num_features[stage]))
        init_linear_layers(self)
        self._freeze()

    def _build_stages(
        self, window_sizes: Sequence[int | Size], mlp_ratio: float, drop_path_rate: float, with_cp: bool
    ) -> nn.ModuleList:
        """Make the stages; drop path grows linearly over all blocks."""
        arch = self.arch
        step = drop_path_rate / max(sum(arch.depths) - 1, 1)
        rates = (step * block for block in range(sum(arch.depths)))
        stages = enumerate(zip(arch.num_features, arch.num_heads, arch.depths, window_sizes, strict=True))
        return nn.ModuleList(
            SwinStage(
                dims,
                num_heads,
                window=self._fit_window(pair(window), stage),
                drop_paths=list(islice(rates, depth)),
                mlp_ratio=mlp_ratio,
                with_cp=with_cp,
                merge=stage < arch.num_stages - 1,
            )
            for stage, (dims, num_heads, depth, window) in stages
        )

    def forward(self, images: Tensor, assignment: Tensor | None = None) -> tuple[Tensor, ...]:
        """Encode plain images, or mixtures with masked attention.

        Args:
            images: (B, C, H, W), any height and width.
            assignment: Which source each cell shows, (B or 1, cells, cells); H and W are then multiples of the stride.

        Returns:
            A map (B, C, ceil(H / stride), ceil(W / stride)) for each of `out_indices`, with the stride of that stage.

        Raises:
            ValueError: cells that the last stride would cut.
        """
        self._check_cells(images, assignment)
        bottom, right = (-side % self.stride for side in images.shape[-2:])
        x = self.patch_embed(F.pad(images, (0, right, 0, bottom)) if bottom or right else images)
        grid = tuple(x.shape[1:3])
        real = tuple(-(-side // self.patch_size) for side in images.shape[-2:])
        x = x + self._positions(real, grid)
        labels = picture_labels(real, grid, assignment, x.device)
        outputs = {}
        for index, stage in enumerate(self.layers):
            x = stage(x, plan_windows(tuple(x.shape[1:3]), stage.window, labels, x.device))
            if index in self.out_indices:
                shown = x[:, : -(-real[0] // 2**index), : -(-real[1] // 2**index)]
                outputs[index] = getattr(self, self._norm_name(index))(shown).permute(0, 3, 1, 2)
            if index == max(self.out_indices):
                break
            x = stage.downsample(x if real == grid else blank_padding(x, labels))
            # a merged token is labelled as its first one: cells hold whole tokens, and pictures begin on even ones
            labels = None if labels is None else labels[:, ::2, ::2]
        return tuple(outputs[index] for index in self.out_indices)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Tell how deep a parameter stands, for layer-wise decay: its id and the number of ids.

        The official rule: 0 for the embedding, 1 to N for the N blocks, merging layers with the first block of the next
        stage, N for what follows. The learning rate's scale is decay ** (number of ids - 1 - id), so that even the last
        has decay ** 1.
        """
        ids = sum(self.arch.depths) + 2
        stage, _, rest = param_name.removeprefix(prefix).removeprefix('layers.').partition('.')
        if not param_name.startswith(prefix + 'layers.'):
            embedding = param_name.startswith((prefix + 'patch_embed', prefix + 'absolute_pos_embed'))
            return (0 if embedding else ids - 2), ids
        if rest.startswith('downsample'):
            return sum(self.arch.depths[: int(stage) + 1]) + 1, ids
        return sum(self.arch.depths[: int(stage)]) + int(rest.split('.')[1]) + 1, ids

    def init_weights(self) -> None:
        """Load what `init_cfg` asks for; everything else was initialised at construction.

        Raises:
            ValueError: the file holds another model.
        """
        load_pretrained(self)
        super().init_weights()

    def train(self, mode: bool = True) -> 'MixMIMSwin':
        """Switch drop path on or off; frozen stages stay in evaluation mode."""
        super().train(mode)
        self._freeze()
        return self

    def _freeze(self) -> None:
        """Stop gradients and drop path in the frozen stages, and gradients in what no output needs."""
        frozen = [self.patch_embed, *self.layers[: self.frozen_stages]] if self.frozen_stages >= 0 else []
        for module in frozen:
            module.eval().requires_grad_(False)
        last = max(self.out_indices)
        for module in (self.layers[last].downsample, *self.layers[last + 1 :]):
            module.requires_grad_(False)

    def _check_cells(self, images: Tensor, assignment: Tensor | None) -> None:
        """Refuse an assignment whose cells are merged with others before the last stage: sources would leak."""
        cells = () if assignment is None else tuple(assignment.shape[-2:])
        if any(side % (number * self.stride) for side, number in zip(images.shape[-2:], cells, strict=False)):
            raise ValueError(
                f'pictures of {images.shape[-2]} x {images.shape[-1]} pixels with {cells[0]} x {cells[1]} cells do not '
                f"go with the encoder's last stride: a cell's sides must be multiples of {self.stride} pixels"
            )

    def _norm_name(self, stage: int) -> str:
        """Name the LayerNorm of a stage's output; the last one's is the official `norm`."""
        return 'norm' if stage == self.arch.num_stages - 1 else f'norm{stage}'

    def _fit_window(self, window: Size, stage: int) -> Size:
        """Shrink a window that is larger than the stage's map at `img_size`."""
        rows, columns = (side // 2**stage for side in self.grid)
        return min(window[0], rows), min(window[1], columns)

    def _positions(self, real: Size, grid: Size) -> Tensor:
        """Give the position table of a picture of `real` tokens, zero where the grid goes beyond: (1, h, w, C)."""
        table = resize_table(self.absolute_pos_embed, self.grid, real).unflatten(1, real)
        return table if real == grid else F.pad(table, (0, 0, 0, grid[1] - real[1], 0, grid[0] - real[0]))

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        """Fit a stored position table to this grid before PyTorch copies it."""
        fit_stored_table(state_dict, f'{prefix}absolute_pos_embed', self.grid)
        super()._load_from_state_dict(state_dict, prefix, *args)


def _round_up(size: int, multiple: int) -> int:
    """Give the next multiple that is not smaller."""
    return -(-size // multiple) * multiple
