"""RMSNorm with a frozen weight (Zhang and Sennrich 2019)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from lowpeak_artifact.ops.base import EXECUTORCH, LOWPEAK, UNMADE
from lowpeak_artifact.ops.record import describe


@torch.library.custom_op("lowpeak::rms_norm", mutates_args=())
def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """x [*, width], weight [width] -> (x * root * weight, root [*, 1]), root = rsqrt(mean(x^2) + epsilon).

    The first result may lie where x did. There is no gradient by `weight`.
    """
    root = torch.rsqrt((x * x).mean(-1, keepdim=True) + epsilon)
    return x * root * weight, root


@rms_norm.register_fake
def _(x: Tensor, weight: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), x.new_empty((*x.shape[:-1], 1))


@torch.library.custom_op("lowpeak::rms_norm_backward", mutates_args=())
def rms_norm_backward(
    grad: Tensor, x: Tensor, weight: Tensor, root: Tensor, residual: Tensor | None
) -> Tensor:
    """The gradient by x, plus the one that goes around the norm. It may lie where grad, x or residual did."""
    scaled = grad * weight
    result = root * (scaled - x * root * root * (scaled * x).mean(-1, keepdim=True))
    return result if residual is None else result + residual


@rms_norm_backward.register_fake
def _(grad: Tensor, x: Tensor, weight: Tensor, root: Tensor, residual: Tensor | None) -> Tensor:
    return x.new_empty(x.shape)


def _context(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    x, weight, _ = inputs
    ctx.save_for_backward(x, weight, output[1])
    ctx.set_materialize_grads(False)


def _gradient(ctx, grad, grad_root):  # type: ignore[no-untyped-def]
    return rms_norm_backward(grad.contiguous(), *ctx.saved_tensors, None), None, None


rms_norm.register_autograd(_gradient, setup_context=_context)


NORM = replace(LOWPEAK, in_place=EXECUTORCH, lowering=UNMADE)
describe(
    replace(NORM, tile="rows x", kernel="lowpeak::rms_norm.out"),
    torch.ops.lowpeak.rms_norm.default,
)
describe(
    replace(NORM, tile="rows grad x root residual", kernel="lowpeak::rms_norm_backward.out"),
    torch.ops.lowpeak.rms_norm_backward.default,
)
