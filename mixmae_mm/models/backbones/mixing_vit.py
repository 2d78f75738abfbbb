"""MixingViT: a plain vision transformer that learns which patches of a mixture come from the same image.

Letters: B images or mixtures, K sources, C channels, H x W pixels, h x w = N patches, n <= N of them encoded.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixmae_mm.mixing import gather_tokens, homologous, resize_assignment
from mixmae_mm.models.backbones.plain_vit import EXTRA, PlainViT
from mixmae_mm.models.utils.attention import FixedKeys, KeySelection
from mixmae_mm.models.utils.homologous_attention import TopKeys
from mixmae_mm.registry import MODELS
from mixmae_mm.structures import Fitted
from mixmae_mm.utils.validation import check_indices, check_one_of, check_share, check_whole

ATTENTIONS = ('homologous', 'true', 'global')


class Encoded(NamedTuple):
    """What the encoder returns for a batch."""

    maps: tuple[Tensor, ...]
    """A map (B, C, h, w) for each of `out_indices`; masked patches are 0."""
    cls: Tensor
    """The CLS token after the last block of `out_indices`, (B, C)."""
    precision: dict[int, Tensor]
    """For each block with homologous attention, the share of kept keys that come from the query's source, a scalar."""


@MODELS.register_module()
class MixingViT(PlainViT):
    """Plain vision transformer with homologous attention for mixtures (MixedAE, arXiv 2303.17152).

    Without an assignment, it is an ordinary ViT for images of any size. The defaults are our choices, not the paper's
    (docs/mixedae.md).

    Args:
        num_sources: K. With 1, the default, there is no segment embedding.
        segment_embedding: Add a learned vector to every token, chosen by the index of its source in the group.
        attention: 'homologous' keeps the keys that each query guesses to come from its own source, 'true' (a control)
            those that do, 'global' all keys.
        topk_ratio: Number of keys that a query keeps, divided by the number of patches; None for 1 / K.
        homologous_layers: Indices of the blocks, from 0, with this attention; None for all but the first.
        exempt_cls: Keep CLS in addition to the selected patches. Otherwise it competes with them.
        fold_segments: If a file has a segment embedding and this model has none, add its mean to the patch embedding's
            bias instead of dropping it.
        arch: Sizes, as in `PlainViT`; `settings` are the other arguments of `PlainViT`.
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
        **settings: object,
    ) -> None:
        super().__init__(arch, **settings)
        check_whole(num_sources=num_sources)
        depth = self.arch.depth
        self.num_sources = num_sources
        self.attention = check_one_of(ATTENTIONS, attention=attention)
        self.topk_ratio = 1 / num_sources if topk_ratio is None else topk_ratio
        check_share('the patches', topk_ratio=self.topk_ratio)
        layers = range(1, depth) if homologous_layers is None else homologous_layers
        self.homologous_layers = check_indices(layers, depth, 'homologous_layers', 'blocks')
        self.exempt_cls, self.fold_segments = exempt_cls, fold_segments
        self.register_parameter('segment_embed', None)
        if segment_embedding and num_sources > 1:
            self.segment_embed = nn.Parameter(torch.empty(num_sources, self.arch.embed_dims).normal_(std=0.02))
        self._freeze()

    def forward(self, images: Tensor, assignment: Tensor | None = None) -> tuple[Tensor, ...]:
        """Encode images (B, C, H, W), which are mixtures if an assignment (B or 1, rows, columns) is given.

        Returns:
            A map (B, C, ceil(H / patch), ceil(W / patch)) for each of `out_indices`.
        """
        return super().forward(images) if assignment is None else self.encode(images, assignment).maps

    def encode(self, images: Tensor, assignment: Tensor | None = None, ids_keep: Tensor | None = None) -> Encoded:
        """Encode images (B, C, H, W) as `forward` does, and return CLS and precision with the maps.

        `ids_keep`, (B or 1, n), are the indices of the patches to encode, as in MAE; None for all.
        """
        if self.window is not None:
            raise ValueError('mixtures are encoded without windows: leave window_size out for pre-training')
        tokens, grid = self.embed(images)
        sources = None if assignment is None else resize_assignment(assignment, grid).flatten(1)
        if ids_keep is not None:
            tokens = gather_tokens(tokens, ids_keep)
            sources = None if sources is None else gather_tokens(sources[..., None], ids_keep)[..., 0]
        if sources is not None and self.segment_embed is not None:
            tokens = tokens + F.pad(self.segment_embed, (0, 0, 0, 1))[sources]  # 0 for no source (-1)
        rules = {} if sources is None else self._rules(homologous(sources))
        outputs = self.run_blocks(tokens, rules)
        measured = {i: rule.precision for i, rule in rules.items() if getattr(rule, 'precision', None) is not None}
        return Encoded(self.lay_out(outputs, grid, ids_keep), outputs[self.out_indices[-1]][:, 0], measured)

    def _rules(self, same: Tensor) -> dict[int, KeySelection]:
        """Return the attention rule of each block that has one; `same` marks pairs from one source, bool (B, n, n)."""
        if self.attention == 'global':
            return {}
        if self.attention == 'true':
            return dict.fromkeys(
                self.homologous_layers, FixedKeys(F.pad(same, (EXTRA, 0, EXTRA, 0), value=True)[:, None])
            )
        extra, same = EXTRA if self.exempt_cls else 0, F.pad(same, (EXTRA, 0, EXTRA, 0), value=False)
        return {index: TopKeys(self.topk_ratio, extra, same) for index in self.homologous_layers}

    def fit_stored(self, state_dict: dict[str, Tensor], prefix: str) -> dict[str, Fitted]:
        """In place, resize the position embedding, and drop or fold a segment embedding that this model lacks."""
        fitted = super().fit_stored(state_dict, prefix)
        segments = state_dict.pop(f'{prefix}segment_embed', None) if self.segment_embed is None else None
        bias = f'{prefix}patch_embed.proj.bias'
        if segments is not None and self.fold_segments and bias in state_dict:
            state_dict[bias] = state_dict[bias] + segments.mean(dim=0)
        return fitted
