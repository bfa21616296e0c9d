"""The gated activation of Llama's MLP (Shazeer 2020)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from lowpeak_artifact.ops.base import EXECUTORCH, LOWPEAK, UNMADE
from lowpeak_artifact.ops.record import describe


@torch.library.custom_op("lowpeak::swiglu", mutates_args=())
def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up. It may lie where gate or up did."""
    return torch.nn.functional.silu(gate) * up


@swiglu.register_fake
def _(gate: Tensor, up: Tensor) -> Tensor:
    return gate.new_empty(gate.shape)


@torch.library.custom_op("lowpeak::swiglu_backward", mutates_args=())
def swiglu_backward(grad: Tensor, gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of gate and up. Each may lie where any of the operands did."""
    share = torch.sigmoid(gate)
    return grad * up * share * (1 + gate * (1 - share)), grad * gate * share


@swiglu_backward.register_fake
def _(grad: Tensor, gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    return gate.new_empty(gate.shape), up.new_empty(up.shape)


def _context(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    ctx.save_for_backward(*inputs)


def _gradient(ctx, grad):  # type: ignore[no-untyped-def]
    return swiglu_backward(grad.contiguous(), *ctx.saved_tensors)


swiglu.register_autograd(_gradient, setup_context=_context)


SWIGLU = replace(LOWPEAK, in_place=EXECUTORCH, tile="elementwise", lowering=UNMADE)
describe(replace(SWIGLU, kernel="lowpeak::swiglu.out"), torch.ops.lowpeak.swiglu.default)
describe(replace(SWIGLU, kernel="lowpeak::swiglu_backward.out"), torch.ops.lowpeak.swiglu_backward.default)
