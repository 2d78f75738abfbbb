"""Multiply-adds of a forward pass."""

import torch
from torch.utils.flop_counter import FlopCounterMode


def attention_flops(query, key, value, *args, out_shape=None, **kwargs):
    """Count what PyTorch's counter leaves out on the CPU: logits and the weighted sum, two operations each."""
    batch, heads, tokens, dims = query
    return 2 * 2 * batch * heads * tokens * key[2] * dims


def set_zero(model):
    """Return a model of the `meta` device weights, all 0: drawing those of large models takes longer than counting."""
    model.to_empty(device='cpu')
    for value in (*model.parameters(), *model.buffers()):
        value.detach().zero_()
    return model


def multiply_adds(forward):
    """Count those of a call."""
    fused = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_flops}
    with FlopCounterMode(display=False, custom_mapping=fused) as counter:
        forward()
    return counter.get_total_flops() / 2
