"""The loss of an output matrix as one operator, with its gradient."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from lowpeak_artifact.ops.base import LOWPEAK, UNMADE
from lowpeak_artifact.ops.quantized import dequantize
from lowpeak_artifact.ops.record import LATER, Count, describe, none


@torch.library.custom_op("lowpeak::linear_cross_entropy", mutates_args=())
def linear_cross_entropy(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, ignore_index: int
) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of `hidden @ weight.T + bias` -> (loss [], its gradient by hidden [rows, width]).

    Loss and gradient together, so that no logits outlive the operator. Rows whose label is `ignore_index`
    count for nothing; without any counted row the loss is 0.
    """
    logits = torch.nn.functional.linear(hidden, weight, bias)
    counted = labels != ignore_index
    share = counted.float() / counted.sum().clamp(min=1)
    target = torch.where(counted, labels, 0)[:, None]
    log_probabilities = torch.log_softmax(logits, -1)
    loss = -(log_probabilities.gather(1, target)[:, 0] * share).sum()
    grad_logits = log_probabilities.exp()
    grad_logits.scatter_add_(1, target, torch.full_like(target, -1, dtype=logits.dtype))
    return loss, (grad_logits * share[:, None]) @ weight


@linear_cross_entropy.register_fake
def _(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, ignore_index: int
) -> tuple[Tensor, Tensor]:
    return hidden.new_empty(()), hidden.new_empty(hidden.shape)


def _loss_context(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    ctx.save_for_backward(output[1])
    ctx.set_materialize_grads(False)


def _loss_gradient(ctx, grad_loss, grad_of_gradient):  # type: ignore[no-untyped-def]
    (grad_hidden,) = ctx.saved_tensors
    return grad_hidden * grad_loss, None, None, None, None


linear_cross_entropy.register_autograd(_loss_gradient, setup_context=_loss_context)


@torch.library.custom_op("lowpeak::quantized_linear_cross_entropy", mutates_args=())
def quantized_linear_cross_entropy(
    hidden: Tensor,
    data: Tensor,
    scale: Tensor,
    zero_point: Tensor | None,
    bits: int,
    bias: Tensor | None,
    labels: Tensor,
    ignore_index: int,
) -> tuple[Tensor, Tensor]:
    """linear_cross_entropy(hidden, dequantize(data, scale, zero_point), bias, labels, ignore_index)."""
    weight = dequantize(data, scale, zero_point, bits)
    loss, gradient = linear_cross_entropy(hidden, weight, bias, labels, ignore_index)
    return loss, gradient


@quantized_linear_cross_entropy.register_fake
def _(
    hidden: Tensor,
    data: Tensor,
    scale: Tensor,
    zero_point: Tensor | None,
    bits: int,
    bias: Tensor | None,
    labels: Tensor,
    ignore_index: int,
) -> tuple[Tensor, Tensor]:
    return hidden.new_empty(()), hidden.new_empty(hidden.shape)


def _flops(head: str) -> Count:
    """The logits and their way back."""
    return lambda call: 2 * 2 * int(call["hidden"].numel()) * int(call[head].shape[0])


LOSS = replace(LOWPEAK, in_place=none("reads every row more than once"), tile="whole")
describe(
    replace(
        LOSS,
        flops=_flops("weight"),
        lowering=LATER,
        kernel=none("of a dense head: heads are stored quantized where there are kernels"),
        indexes=LATER,
    ),
    torch.ops.lowpeak.linear_cross_entropy.default,
)
describe(
    replace(
        LOSS,
        flops=_flops("data"),
        rows_at_a_time=1024,
        lowering=UNMADE,
        kernel="lowpeak::quantized_linear_cross_entropy.out",
        indexes=none("its labels are those of linear_cross_entropy, which was looked at before"),
    ),
    torch.ops.lowpeak.quantized_linear_cross_entropy.default,
)
