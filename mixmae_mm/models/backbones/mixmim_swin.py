"""MixMIMSwin: the hierarchical encoder of MixMAE, a Swin transformer with large windows and without shifts.

Parameter names and initialization are those of the official MixMIM, so its weights need only a prefix to load.

Letters: B images or mixtures, C channels, H x W pixels, h x w tokens or cells.
"""

from collections.abc import Iterable, Sequence
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixmae_mm.mixing import resize_assignment
from mixmae_mm.models.backbones.archs import plan_window_sizes, read_swin_arch
from mixmae_mm.models.backbones.base import Encoder, drop_path_rates
from mixmae_mm.models.utils.cpu_kernels import prefers_segments
from mixmae_mm.models.utils.layers import PatchEmbed, init_linear_layers
from mixmae_mm.models.utils.padding import blank_tokens, count_tokens
from mixmae_mm.models.utils.pos_embed import pair
from mixmae_mm.models.utils.swin_layers import SwinStage
from mixmae_mm.registry import MODELS
from mixmae_mm.structures import Size
from mixmae_mm.utils.validation import check_indices, check_one_of, check_rate, check_whole

ATTENTIONS = ('true', 'homologous', 'global')


@MODELS.register_module()
class MixMIMSwin(Encoder):
    """Hierarchical vision transformer with masked window attention (MixMAE, arXiv 2205.13137).

    With an assignment, tokens attend only to tokens of their own source, unless `attention` says otherwise. Without an
    assignment, it is an ordinary encoder for images of any size. Arguments not listed here have their usual meaning.

    Args:
        arch: One of `SWIN_ARCHS`, or a dict with `embed_dims`, `depths` and `num_heads`, one entry per stage.
        img_size: Side or (H, W) in pixels that the position embedding is made for; it is resized for other sizes.
        patch_size: Side of a patch in pixels, which is the stride of the first stage; each later stage doubles it.
        window_sizes: Window of each stage, side or (h, w) in tokens, clipped to the stage's map at `img_size`.
        wide_blocks: Blocks of the second-to-last stage, from 0, whose windows are `wide_window`, for large images.
        wide_window: Side or (h, w) in tokens.
        out_indices: The stages whose maps are returned; stages after the last of them are neither run nor trained.
        pad_value: Value, after normalization, of the pixels that pad images to a common size; no image pixel may have
            it in all channels. Padding is masked from attention. None if images are not padded.
        frozen_stages: -1 freezes nothing, 0 the patch embedding, s > 0 also the first s stages.
        attention: Which tokens of its window a token of a mixture attends to: 'true', the default, those of its source;
            'homologous' as many, but guessed as in MixedAE (tokens of no source are known); 'global' all.
        num_segments: Number of sources for which each stage has learned vectors, added to the sources' tokens at the
            beginning of the stage (MixedAE's segment embedding, which has a single stage); 0 for none.
        init_cfg: `dict(type='Pretrained', checkpoint=...)` loads weights with `load_backbone` and accepts its `prefix`
            and `min_share`.
    """

    def __init__(
        self,
        arch: str | dict = 'base',
        img_size: int | Size = 224,
        patch_size: int = 4,
        in_channels: int = 3,
        window_sizes: Sequence[int | Size] = (14, 14, 14, 7),
        wide_blocks: Sequence[int] = (),
        wide_window: int | Size = 32,
        mlp_ratio: float = 4.0,
        drop_path_rate: float = 0.0,
        out_indices: Sequence[int] = (3,),
        pad_value: float | None = None,
        frozen_stages: int = -1,
        with_cp: bool = False,
        attention: str = 'true',
        num_segments: int = 0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        check_whole(patch_size=patch_size, in_channels=in_channels)
        check_whole(minimum=0, num_segments=num_segments)
        check_rate(drop_path_rate=drop_path_rate)
        self.arch = read_swin_arch(arch, window_sizes)
        self.patch_size, self.pad_value = patch_size, pad_value
        self.frozen_stages = frozen_stages
        self.num_features = self.arch.num_features
        self.stride = patch_size * 2 ** (len(self.num_features) - 1)
        self.attention = check_one_of(ATTENTIONS, attention=attention)
        self.num_segments = num_segments
        self.out_indices = check_indices(out_indices, len(self.num_features), 'out_indices', 'stages')
        grid = tuple(-(-side // self.stride) * self.stride // patch_size for side in pair(img_size))
        self.patch_embed = PatchEmbed(patch_size, in_channels, self.num_features[0])
        self.add_pos_embed('absolute_pos_embed', grid, self.num_features[0])
        windows = plan_window_sizes(self.arch, grid, window_sizes, wide_blocks, wide_window)
        self.layers = self._build_stages(windows, mlp_ratio, drop_path_rate, with_cp)
        for stage in self.out_indices:
            self.add_module(self._norm_name(stage), nn.LayerNorm(self.num_features[stage]))
        init_linear_layers(self)
        if num_segments:
            vectors = (torch.empty(num_segments, dims).normal_(std=0.02) for dims in self.num_features)
            self.segment_embed = nn.ParameterList(vectors)
        self._freeze()

    def _build_stages(
        self, windows: list[list[Size]], mlp_ratio: float, drop_path_rate: float, with_cp: bool
    ) -> nn.ModuleList:
        """Build the stages, with drop path rates that grow from the first block to the last."""
        arch = self.arch
        rates = iter(drop_path_rates(drop_path_rate, sum(arch.depths)))
        stages = zip(arch.num_features, arch.num_heads, arch.depths, windows, strict=True)
        return nn.ModuleList(
            SwinStage(
                dims, num_heads, of_blocks, list(islice(rates, depth)), mlp_ratio, with_cp, of_blocks is not windows[-1]
            )
            for dims, num_heads, depth, of_blocks in stages
        )

    @property
    def precision(self) -> dict[int, Tensor]:
        """For each block, counted over all stages, the share of guessed keys that came from the query's source."""
        blocks = enumerate(block for stage in self.layers for block in stage.blocks)
        return {index: block.attn.precision for index, block in blocks if block.attn.precision is not None}

    def forward(self, images: Tensor, assignment: Tensor | None = None) -> tuple[Tensor, ...]:
        """Encode images (B, C, H, W), or mixtures, with masked attention, if an assignment (B or 1, h, w) is given.

        Raise ValueError if the sides of a cell are not multiples of the last stride.

        Returns:
            A map (B, C, ceil(H / stride), ceil(W / stride)) for each of `out_indices`, with the stride of its stage.
        """
        self._check_cells(images, assignment)
        x, padding = self.embed_images(images, self.pad_value if assignment is None else None, self.stride)
        labels = padding if assignment is None else resize_assignment(assignment, tuple(x.shape[1:3]))
        guess = self.attention == 'homologous' and assignment is not None
        in_segments = self.attention == 'true' and prefers_segments(x, assignment, self.training)
        outputs = {}
        for index, stage in enumerate(self.layers):
            if self.num_segments and assignment is not None:  # a vector by source; 0 for no source (-1)
                x = x + F.pad(self.segment_embed[index], (0, 0, 0, 1))[labels].to(x.dtype)
            x = stage(x, None if self.attention == 'global' and assignment is not None else labels, in_segments, guess)
            if index in self.out_indices:
                outputs[index] = self._to_map(x, padding, index, tuple(images.shape[-2:]))
            if index == max(self.out_indices):
                break
            x = stage.downsample(blank_tokens(x, padding))
            # a merged token takes the label of its first token, because cells and images begin at even tokens
            labels, padding = (None if which is None else which[:, ::2, ::2] for which in (labels, padding))
        return tuple(outputs[index] for index in self.out_indices)

    def _to_map(self, x: Tensor, padding: Tensor | None, stage: int, canvas: Size) -> Tensor:
        """Normalize a stage's output, set padding to 0 and crop the map to that of `canvas` = (H, W) pixels."""
        height, width = count_tokens(canvas, self.patch_size * 2**stage)
        x = blank_tokens(getattr(self, self._norm_name(stage))(x), padding)
        return x[:, :height, :width].permute(0, 3, 1, 2).contiguous()  # mmcv's RoIAlign misreads non-contiguous maps

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Return the layer id of a parameter and the number of ids, for layer-wise learning rate decay.

        The official rule: 0 for the embeddings, 1 to N for the N blocks, N for the norms; patch merging has the id of
        the next stage's first block.
        """
        ids = sum(self.arch.depths) + 2
        stage, _, rest = param_name.removeprefix(prefix).removeprefix('layers.').partition('.')
        if not param_name.startswith(prefix + 'layers.'):
            embedding = param_name.startswith(
                tuple(prefix + name for name in ('patch_embed', 'absolute_pos_embed', 'segment_embed'))
            )
            return (0 if embedding else ids - 2), ids
        if rest.startswith('downsample'):
            return sum(self.arch.depths[: int(stage) + 1]) + 1, ids
        return sum(self.arch.depths[: int(stage)]) + int(rest.split('.')[1]) + 1, ids

    def _frozen_parts(self) -> Iterable[nn.Module]:
        """Return the patch embedding and the first stages, with their segment vectors."""
        vectors = list(self.segment_embed)[: self.frozen_stages] if self.num_segments else []
        return [self.patch_embed, *self.layers[: self.frozen_stages], *vectors]

    def _unused_parts(self) -> Iterable[nn.Module]:
        """Return the parts after the last returned stage."""
        last = max(self.out_indices)
        later = [self.segment_embed[stage] for stage in range(last + 1, len(self.layers))] if self.num_segments else []
        return [self.layers[last].downsample, *self.layers[last + 1 :], *later]

    def _check_cells(self, images: Tensor, assignment: Tensor | None) -> None:
        """Check that patch merging does not cross the borders of cells, where sources would leak into each other."""
        cells = () if assignment is None else tuple(assignment.shape[-2:])
        if any(side % (number * self.stride) for side, number in zip(images.shape[-2:], cells, strict=False)):
            raise ValueError(
                f'images of {images.shape[-2]} x {images.shape[-1]} pixels with {cells[0]} x {cells[1]} cells do not '
                f"fit the encoder's last stride: a cell's sides must be multiples of {self.stride} pixels"
            )

    def _norm_name(self, stage: int) -> str:
        """Return the name of a stage's output norm; that of the last stage is the official `norm`."""
        return 'norm' if stage == len(self.num_features) - 1 else f'norm{stage}'
