"""MixedAEViT: a plain vision transformer that can recognise which patches of a mixture belong together.

One class for pre-training and transfer. Parameter names and initialisation are those of the official MAE, so that its
weights load with nothing but a prefix, and ours are read by whatever reads MAE's.

Letters: B images or mixtures, K sources, C channels, H x W pixels, h x w = N patches, n <= N of them encoded.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mixmae_mm.checkpoints import load_pretrained
from mixmae_mm.mixing import homologous, put_back, resize_assignment, take
from mixmae_mm.models.homologous import TopKeys, TrueKeys
from mixmae_mm.models.layers import Block, PatchEmbed, init_linear_layers
from mixmae_mm.models.positions import Size, fit_stored_table, pair, resize_table, token_table
from mixmae_mm.models.vit_arch import check_blocks, read_arch
from mixmae_mm.registry import MODELS

ATTENTIONS = ('homologous', 'true', 'global')
FINALS = ('norm', 'raw', 'mean', 'cls')
EXTRA = 1  # CLS


class Encoded(NamedTuple):
    """What the encoder says of a batch."""

    maps: tuple[Tensor, ...]
    """A map (B, C, h, w) for each of `out_indices`; cells of nobody are 0."""
    cls: Tensor
    """The CLS token after the last block and norm, (B, C)."""
    precision: dict[int, Tensor]
    """For each block with homologous attention: share of kept keys that are of the query's own source, a scalar."""


@MODELS.register_module()
class MixedAEViT(BaseModule):
    """Plain vision transformer with homologous attention for mixtures (MixedAE, arXiv 2303.17152).

    Called without an assignment it is an ordinary ViT for pictures of any size: no setting of the first group below
    changes what it computes. What does not fill a patch is padded with zeros.

    Of the settings for mixtures only their existence is the paper's; the defaults are choices (docs/mixedae.md).

    Args:
        arch: One of `vit_arch.ARCHS`, or a dict with `embed_dims`, `depth` and `num_heads`.
        num_sources: For mixtures: K. With 1, the default, there is no segment embedding.
        segment_embedding: For mixtures: add to every token a learned vector of its source's place in the group.
        attention: For mixtures: 'homologous' keeps the keys that a query guesses to be of its own source, 'true'
            those that are (a control: the map is told), 'global' keeps all.
        topk_ratio: For mixtures: keys that a query keeps over the number of patches; None for 1 / K.
        homologous_layers: For mixtures: the blocks, from 0, with that attention; None for all but the first.
        exempt_cls: For mixtures: CLS is never dropped nor counted among the kept keys. Otherwise it is one of them.
        fold_segments: On loading weights that have a segment embedding into a model without, add its mean to the
            patch embedding's bias instead of dropping it.
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
        ValueError: an unknown `arch`, `attention` or `final`, or settings that do not fit each other.
    """

    def __init__(
        self,
        arch: str | dict = 'base',
        num_sources: int = 1,
        segment_embedding: bool = True,
        attention: str = 'homologous',
        topk_ratio: float | None = None,
        homologous_layers: Sequence[int] | None = None,
        exempt_cls: bool = True,
        fold_segments: bool = False,
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
        self.num_sources = num_sources
        self.attention = _one_of(ATTENTIONS, attention, 'attention')
        self.topk_ratio = _check_ratio(1 / num_sources if topk_ratio is None else topk_ratio)
        layers = range(1, depth) if homologous_layers is None else homologous_layers
        self.homologous_layers = check_blocks(layers, depth, 'homologous_layers')
        self.exempt_cls = exempt_cls
        self.fold_segments = fold_segments
        self.patch_size = patch_size
        self.grid = tuple(-(-side // patch_size) for side in pair(img_size))
        self.out_indices = check_blocks([i + depth if i < 0 else i for i in out_indices], depth, 'out_indices')
        self.final = _one_of(FINALS, final, 'final')
        self.frozen_stages = frozen_stages
        self.with_cp = with_cp
        self.cls_token = nn.Parameter(torch.empty(1, 1, dims).normal_(std=0.02))
        self.pos_embed = nn.Parameter(token_table(self.grid, dims, EXTRA), requires_grad=train_positions)
        if segment_embedding and num_sources > 1:
            self.segment_embed = nn.Parameter(torch.empty(num_sources, dims).normal_(std=0.02))
        else:
            self.register_parameter('segment_embed', None)
        self.patch_embed = PatchEmbed(patch_size, in_channels, dims, norm=False)
        rates = torch.linspace(0, drop_path_rate, depth).tolist()
        self.blocks = nn.ModuleList(Block(dims, self.arch.num_heads, mlp_ratio, rate, norm_eps) for rate in rates)
        if final != 'raw' and depth - 1 in self.out_indices:
            self.add_module('fc_norm' if final == 'mean' else 'norm', nn.LayerNorm(dims, norm_eps))
        init_linear_layers(self)
        nn.init.xavier_uniform_(self.patch_embed.proj.weight.flatten(1))  # in place: as if it were a linear layer
        self._freeze()

    def forward(self, images: Tensor, assignment: Tensor | None = None) -> tuple[Tensor, ...]:
        """Encode plain images, or mixtures.

        Args:
            images: (B, C, H, W), any height and width.
            assignment: Which source each cell shows, (B or 1, cells, cells), all of them some source; cells are whole
                patches.

        Returns:
            A map (B, C, ceil(H / patch), ceil(W / patch)) for each of `out_indices`.
        """
        return self.encode(images, assignment).maps

    def encode(self, images: Tensor, assignment: Tensor | None = None, shown: Tensor | None = None) -> Encoded:
        """Encode, and tell more than the maps.

        Args:
            images: (B, C, H, W).
            assignment: As in `forward`; entries may be `NOBODY`.
            shown: Numbers of the patches that are not nobody's, (B or 1, n): only those are encoded, as in MAE. None
                for all.
        """
        tokens, grid = self._embed(images, assignment)
        tokens = tokens if shown is None else take(tokens, shown)
        x = torch.cat([(self.cls_token + self.pos_embed[:, :EXTRA]).expand(len(tokens), -1, -1), tokens], dim=1)
        rules = self._rules(assignment, grid, shown)
        outputs = {}
        for index, block in enumerate(self.blocks[: max(self.out_indices) + 1]):
            x = self._run(block, x, rules.get(index))
            if index == self.arch.depth - 1 and self.final in ('norm', 'cls'):
                x = self.norm(x)
            if index in self.out_indices:
                outputs[index] = self._to_map(x, index, grid, shown)
        maps = tuple(outputs[index] for index in self.out_indices)
        measured = {index: rule.precision for index, rule in rules.items() if isinstance(rule, TopKeys)}
        return Encoded(maps, x[:, 0], measured)

    def _embed(self, images: Tensor, assignment: Tensor | None) -> tuple[Tensor, Size]:
        """Embed patches with their place and, in mixtures, their source: (B, N, C), and the grid (h, w)."""
        bottom, right = (-side % self.patch_size for side in images.shape[-2:])
        x = self.patch_embed(F.pad(images, (0, right, 0, bottom)) if bottom or right else images)
        grid = tuple(x.shape[1:3])
        tokens = x.flatten(1, 2) + resize_table(self.pos_embed, self.grid, grid, EXTRA)[:, EXTRA:]
        if assignment is not None and self.segment_embed is not None:
            source = resize_assignment(assignment, grid).flatten(1).clamp(min=0)  # nobody's are left out later
            tokens = tokens + self.segment_embed[source]
        return tokens, grid

    def _rules(
        self, assignment: Tensor | None, grid: Size, shown: Tensor | None
    ) -> dict[int, TopKeys] | dict[int, TrueKeys]:
        """Make the attention rule of each block that has one."""
        if assignment is None or self.attention == 'global':
            return {}
        source = resize_assignment(assignment, grid).flatten(1)
        same = homologous(source if shown is None else source.expand(len(shown), -1).gather(1, shown))
        if self.attention == 'true':
            return dict.fromkeys(self.homologous_layers, TrueKeys(same, EXTRA))
        if not self.exempt_cls:
            same = F.pad(same, (EXTRA, 0, EXTRA, 0), value=False)
        extra = EXTRA if self.exempt_cls else 0
        return {index: TopKeys(self.topk_ratio, extra, same) for index in self.homologous_layers}

    def _run(self, block: Block, x: Tensor, rule: TopKeys | TrueKeys | None) -> Tensor:
        """Run a block, or have it recomputed in the backward pass."""
        if self.with_cp and torch.is_grad_enabled():
            return checkpoint(block, x, rule, use_reentrant=False)
        return block(x, rule)

    def _to_map(self, x: Tensor, index: int, grid: Size, shown: Tensor | None) -> Tensor:
        """Lay a block's tokens (B, 1 + n, C) out on their grid, or pool the last one's to a map of one cell."""
        last = index == self.arch.depth - 1
        if last and self.final == 'cls':
            return x[:, 0, :, None, None]
        if last and self.final == 'mean':
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

    def train(self, mode: bool = True) -> 'MixedAEViT':
        """Switch drop path on or off; frozen blocks stay in evaluation mode."""
        super().train(mode)
        self._freeze()
        return self

    def _freeze(self) -> None:
        """Stop gradients and drop path in what is frozen, and gradients in what no output needs."""
        if self.frozen_stages >= 0:
            for parameter in (self.cls_token, self.pos_embed, self.segment_embed):
                if parameter is not None:
                    parameter.requires_grad_(False)
            frozen = [self.patch_embed, *self.blocks[: self.frozen_stages]]
            if self.frozen_stages >= self.arch.depth and hasattr(self, 'norm'):
                frozen.append(self.norm)
            for module in frozen:
                module.eval().requires_grad_(False)
        self.blocks[max(self.out_indices) + 1 :].requires_grad_(False)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        """Fit a stored position table to this grid, and drop or fold segments, before PyTorch copies weights."""
        fit_stored_table(state_dict, f'{prefix}pos_embed', self.grid, EXTRA)
        segments = state_dict.pop(f'{prefix}segment_embed', None) if self.segment_embed is None else None
        bias = f'{prefix}patch_embed.proj.bias'
        if segments is not None and self.fold_segments and bias in state_dict:
            state_dict[bias] = state_dict[bias] + segments.mean(dim=0)
        super()._load_from_state_dict(state_dict, prefix, *args)


def _one_of(known: Sequence[str], given: str, setting: str) -> str:
    """Read a setting that names one of a few things.

    Raises:
        ValueError: it names none of them.
    """
    if given not in known:
        raise ValueError(f"{setting} '{given}' is unknown: take one of {', '.join(known)}")
    return given


def _check_ratio(ratio: float) -> float:
    """Read the share of keys to keep.

    Raises:
        ValueError: it lies outside (0, 1].
    """
    if not 0 < ratio <= 1:
        raise ValueError(f'topk_ratio is a share of the patches, above 0 and up to 1, got {ratio}')
    return ratio
