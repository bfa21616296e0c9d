"""The `lowpeak::` operators of the graph: what each means, as a plain torch reference.

Each has a CPU reference (the simulator runs it), a shape rule and, where autograd meets it, a gradient
formula that is again an operator. A target either has a kernel for an operator or it is lowered to core ATen
(passes/lower_*).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from compiler.model.quantized import Packing, unpack_nibbles

CAUSAL_MASK_VALUE = float("-inf")
"""What is added to the score of a key that a query may not see."""


@torch.library.custom_op("lowpeak::dequantize", mutates_args=())
def dequantize(
    data: Tensor, scale: Tensor, zero_point: Tensor | None, bits: int, packing: str = "high_first"
) -> Tensor:
    """Group-wise quantized matrix -> float32 [rows, cols]: (value - zero_point) * scale.

    data: 4 bits: uint8 [rows, cols / 2], packed as model/quantized.py says; 8 bits: int8 [rows, cols].
    scale, zero_point: [rows, groups], groups run along the columns.
    """
    value = (unpack_nibbles(data, cast(Packing, packing)) if bits == 4 else data).float()
    rows, cols = value.shape
    grouped = value.view(rows, scale.shape[1], -1)
    if zero_point is not None:
        grouped = grouped - zero_point.float()[:, :, None]
    return (grouped * scale.float()[:, :, None]).view(rows, cols)


@dequantize.register_fake
def _(
    data: Tensor, scale: Tensor, zero_point: Tensor | None, bits: int, packing: str = "high_first"
) -> Tensor:
    rows, width = data.shape
    return data.new_empty((rows, width * 2 if bits == 4 else width), dtype=torch.float32)


@torch.library.custom_op("lowpeak::dequantize_rows", mutates_args=())
def dequantize_rows(data: Tensor, scale: Tensor, zero_point: Tensor | None, bits: int, ids: Tensor) -> Tensor:
    """The rows `ids` (int64, any shape) of a group-wise quantized matrix -> float32 [*ids.shape, cols]."""
    flat = ids.flatten()
    rows = dequantize(data[flat], scale[flat], None if zero_point is None else zero_point[flat], bits)
    return rows.view((*ids.shape, rows.shape[-1]))


@dequantize_rows.register_fake
def _(data: Tensor, scale: Tensor, zero_point: Tensor | None, bits: int, ids: Tensor) -> Tensor:
    width = data.shape[1]
    return data.new_empty((*ids.shape, width * 2 if bits == 4 else width), dtype=torch.float32)


@torch.library.custom_op("lowpeak::matmul", mutates_args=())
def matmul(a: Tensor, b: Tensor, transpose_a: bool, transpose_b: bool, alpha: float) -> Tensor:
    """alpha * op(a) @ op(b) over the last two axes, op swaps them if told to; same leading axes."""
    return alpha * ((a.mT if transpose_a else a) @ (b.mT if transpose_b else b))


@matmul.register_fake
def _(a: Tensor, b: Tensor, transpose_a: bool, transpose_b: bool, alpha: float) -> Tensor:
    rows, cols = a.shape[-1 if transpose_a else -2], b.shape[-2 if transpose_b else -1]
    return a.new_empty((*a.shape[:-2], rows, cols))


def _causal_scores(query: Tensor, key: Tensor, scale: float) -> Tensor:
    """Masked scores [batch, heads, tokens, tokens]; key heads are shared by groups of query heads."""
    groups = query.shape[1] // key.shape[1]
    scores = query @ key.repeat_interleave(groups, 1).transpose(-1, -2) * scale
    tokens = query.shape[2]
    allowed = torch.ones(tokens, tokens, dtype=torch.bool).tril()
    return scores.masked_fill(~allowed, CAUSAL_MASK_VALUE)


@torch.library.custom_op("lowpeak::causal_attention", mutates_args=())
def causal_attention(query: Tensor, key: Tensor, value: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Causal grouped-query attention -> (out like query, logsumexp [batch, heads, tokens]).

    query [batch, heads, tokens, dim]; key, value [batch, key heads, tokens, dim].
    """
    scores = _causal_scores(query, key, scale)
    groups = query.shape[1] // key.shape[1]
    out = torch.softmax(scores, -1) @ value.repeat_interleave(groups, 1)
    return out.contiguous(), scores.logsumexp(-1)


@causal_attention.register_fake
def _(query: Tensor, key: Tensor, value: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    return query.new_empty(query.shape), query.new_empty(query.shape[:-1])


@torch.library.custom_op("lowpeak::causal_attention_backward", mutates_args=())
def causal_attention_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, logsumexp: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of query, key and value, in their shapes; the probabilities come back from the logsumexp."""
    batch, key_heads, tokens, dim = key.shape
    groups = query.shape[1] // key_heads
    probabilities = torch.exp(_causal_scores(query, key, scale) - logsumexp[..., None])
    grad_probabilities = grad @ value.repeat_interleave(groups, 1).transpose(-1, -2)
    delta = (grad * out).sum(-1, keepdim=True)
    grad_scores = probabilities * (grad_probabilities - delta) * scale
    grad_query = grad_scores @ key.repeat_interleave(groups, 1)
    grad_key = grad_scores.transpose(-1, -2) @ query
    grad_value = probabilities.transpose(-1, -2) @ grad
    shared = (batch, key_heads, groups, tokens, dim)
    return grad_query.contiguous(), grad_key.view(shared).sum(2), grad_value.view(shared).sum(2)


@causal_attention_backward.register_fake
def _(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, logsumexp: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    return query.new_empty(query.shape), key.new_empty(key.shape), value.new_empty(value.shape)


def _attention_context(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    query, key, value, scale = inputs
    ctx.save_for_backward(query, key, value, *output)
    ctx.scale = scale


def _attention_gradient(ctx, grad_out, grad_logsumexp):  # type: ignore[no-untyped-def]
    grads = causal_attention_backward(grad_out.contiguous(), *ctx.saved_tensors, ctx.scale)
    return *grads, None


causal_attention.register_autograd(_attention_gradient, setup_context=_attention_context)


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


_stored: dict[int, Tensor] = {}


@torch.library.custom_op("lowpeak::store", mutates_args=())
def store(value: Tensor, slot: int) -> Tensor:
    """Puts `value` away under `slot` -> an empty token that orders the load after it. Runtimes use a file."""
    _stored[slot] = value.clone()
    return value.new_empty((0,), dtype=torch.uint8)


@store.register_fake
def _(value: Tensor, slot: int) -> Tensor:
    return value.new_empty((0,), dtype=torch.uint8)


@torch.library.custom_op("lowpeak::load", mutates_args=())
def load(token: Tensor, slot: int, shape: list[int], dtype: torch.dtype) -> Tensor:
    """The tensor that was put away under `slot`."""
    assert _stored[slot].dtype == dtype
    return _stored[slot].clone().view(shape)


@load.register_fake
def _(token: Tensor, slot: int, shape: list[int], dtype: torch.dtype) -> Tensor:
    return token.new_empty(shape, dtype=dtype)
