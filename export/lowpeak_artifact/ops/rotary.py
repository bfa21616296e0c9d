"""Rotary position embedding (Su et al. 2021), halves rotated as in Hugging Face's Llama."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from lowpeak_artifact.ops.base import EXECUTORCH, LOWPEAK, UNMADE
from lowpeak_artifact.ops.record import describe


@torch.library.custom_op("lowpeak::rotary", mutates_args=())
def rotary(x: Tensor, cos: Tensor, sin: Tensor, inverse: bool, heads_axis: int = 1) -> Tensor:
    """x * cos + rotate_half(x) * sin with rotate_half([a, b]) = [-b, a]; `inverse`: its transpose.

    x [batch, heads, tokens, dim], or [batch, tokens, heads, dim] if heads_axis is 2; cos, sin
    [1, tokens, dim] without gradients. The result may lie where x did.
    """
    cos, sin = cos.unsqueeze(heads_axis), sin.unsqueeze(heads_axis)
    if inverse:
        low, high = (x * sin).chunk(2, -1)
        return x * cos + torch.cat((high, -low), -1)
    low, high = x.chunk(2, -1)
    return x * cos + torch.cat((-high, low), -1) * sin


@rotary.register_fake
def _(x: Tensor, cos: Tensor, sin: Tensor, inverse: bool, heads_axis: int = 1) -> Tensor:
    return x.new_empty(x.shape)


def _context(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    _, cos, sin, ctx.inverse, ctx.heads_axis = inputs
    ctx.save_for_backward(cos, sin)


def _gradient(ctx, grad):  # type: ignore[no-untyped-def]
    back = rotary(grad.contiguous(), *ctx.saved_tensors, not ctx.inverse, ctx.heads_axis)
    return back, None, None, None, None


rotary.register_autograd(_gradient, setup_context=_context)


describe(
    replace(LOWPEAK, in_place=EXECUTORCH, tile="rotary", lowering=UNMADE, kernel="lowpeak::rotary.out"),
    torch.ops.lowpeak.rotary.default,
)
