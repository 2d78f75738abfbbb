"""Multiply-adds of a forward pass."""

import torch
from torch.utils.flop_counter import FlopCounterMode


def attention_flops(query, key, value, *args, out_shape=None, **kwargs):
    """Count attention on the CPU, which PyTorch's counter leaves out: two operations per multiply-add."""
    batch, heads, tokens, dims = query
    return 2 * 2 * batch * heads * tokens * key[2] * dims


def set_zero(model):
    """Move a model from the `meta` device to the CPU with all weights 0, since drawing large weights takes longer."""
    model.to_empty(device='cpu')
    for value in (*model.parameters(), *model.buffers()):
        value.detach().zero_()
    return model


def multiply_adds(forward):
    """Count the multiply-adds of a call."""
    fused = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_flops}
    with FlopCounterMode(display=False, custom_mapping=fused) as counter:
        forward()
    return counter.get_total_flops() / 2
