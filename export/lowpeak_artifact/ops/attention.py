"""Causal attention as one operator."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from lowpeak_artifact.ops.base import EXECUTORCH, LOWPEAK, NEW_MEMORY, UNMADE
from lowpeak_artifact.ops.record import LATER, Call, Count, describe, none

CAUSAL_MASK_VALUE = float("-inf")
"""What is added to the score of a key that a query may not see."""


def _causal_scores(query: Tensor, key: Tensor, scale: float, start: int) -> Tensor:
    """Masked scores [batch, heads, queries, keys] of the queries from token `start` on; key heads are shared
    by groups of query heads.
    """
    groups = query.shape[1] // key.shape[1]
    scores = query @ key.repeat_interleave(groups, 1).transpose(-1, -2) * scale
    allowed = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool).tril(start)
    return scores.masked_fill(~allowed, CAUSAL_MASK_VALUE)


@torch.library.custom_op("lowpeak::causal_attention", mutates_args=())
def causal_attention(
    query: Tensor, key: Tensor, value: Tensor, scale: float, heads_axis: int = 1, start: int = 0
) -> tuple[Tensor, Tensor]:
    """Causal grouped-query attention -> (out like query, logsumexp [batch, heads, tokens]).

    query [batch, heads, tokens, dim]; key, value [batch, key heads, tokens, dim]; with heads_axis 2 all of
    them and the result [batch, tokens, heads, dim]. The queries may be a tile of the tokens, from `start` on;
    keys after the tile are not read.
    """
    query, key, value = (tensor.transpose(1, heads_axis) for tensor in (query, key, value))
    end = start + query.shape[2]
    key, value = key[:, :, :end], value[:, :, :end]
    scores = _causal_scores(query, key, scale, start)
    groups = query.shape[1] // key.shape[1]
    out = torch.softmax(scores, -1) @ value.repeat_interleave(groups, 1)
    return out.transpose(1, heads_axis).contiguous(), scores.logsumexp(-1)


@causal_attention.register_fake
def _(
    query: Tensor, key: Tensor, value: Tensor, scale: float, heads_axis: int = 1, start: int = 0
) -> tuple[Tensor, Tensor]:
    return query.new_empty(query.shape), query.new_empty(query.transpose(1, heads_axis).shape[:-1])


@torch.library.custom_op("lowpeak::causal_attention_backward", mutates_args=())
def causal_attention_backward(
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    out: Tensor,
    logsumexp: Tensor,
    scale: float,
    heads_axis: int = 1,
    start: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of query, key and value, in their shapes; the probabilities come back from the logsumexp.

    Of a tile of queries from token `start` on, those of key and value are what the tile adds to them.
    """
    grad, query, key, value, out = (t.transpose(1, heads_axis) for t in (grad, query, key, value, out))
    batch, key_heads, tokens, dim = key.shape
    groups = query.shape[1] // key_heads
    probabilities = torch.exp(_causal_scores(query, key, scale, start) - logsumexp[..., None])
    grad_probabilities = grad @ value.repeat_interleave(groups, 1).transpose(-1, -2)
    delta = (grad * out).sum(-1, keepdim=True)
    grad_scores = probabilities * (grad_probabilities - delta) * scale
    grad_query = grad_scores @ key.repeat_interleave(groups, 1)
    grad_key = grad_scores.transpose(-1, -2) @ query
    grad_value = probabilities.transpose(-1, -2) @ grad
    shared = (batch, key_heads, groups, tokens, dim)
    grad_key, grad_value = (t.reshape(shared).sum(2) for t in (grad_key, grad_value))
    grad_query, grad_key, grad_value = (
        t.transpose(1, heads_axis).contiguous() for t in (grad_query, grad_key, grad_value)
    )
    return grad_query, grad_key, grad_value


def _shapes(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, *_: object, **__: object
) -> tuple[Tensor, Tensor, Tensor]:
    return query.new_empty(query.shape), key.new_empty(key.shape), value.new_empty(value.shape)


causal_attention_backward.register_fake(_shapes)


@torch.library.custom_op("lowpeak::causal_attention_backward_add", mutates_args=())
def causal_attention_backward_add(
    grad_key: Tensor,
    grad_value: Tensor,
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    out: Tensor,
    logsumexp: Tensor,
    scale: float,
    heads_axis: int = 1,
    start: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    """causal_attention_backward, its gradients of key and value added to those given, where they may lie."""
    grad_query, more_key, more_value = causal_attention_backward(
        grad, query, key, value, out, logsumexp, scale, heads_axis, start
    )
    return grad_query, grad_key + more_key, grad_value + more_value


@causal_attention_backward_add.register_fake
def _(grad_key: Tensor, grad_value: Tensor, *others: Tensor, **__: object) -> tuple[Tensor, Tensor, Tensor]:
    return _shapes(*others)


def _attention_context(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    query, key, value, ctx.scale, ctx.heads_axis, ctx.start = inputs
    ctx.save_for_backward(query, key, value, *output)


def _attention_gradient(ctx, grad_out, grad_logsumexp):  # type: ignore[no-untyped-def]
    grads = causal_attention_backward(
        grad_out.contiguous(), *ctx.saved_tensors, ctx.scale, ctx.heads_axis, ctx.start
    )
    return *grads, None, None, None


causal_attention.register_autograd(_attention_gradient, setup_context=_attention_context)


def _flops(products: int) -> Count:
    """Products over the keys up to each query, for each head."""

    def count(call: Call) -> int:
        query: Tensor = call["query"]
        tokens = query.shape[3 - int(call["heads_axis"])]
        return products * query.numel() * (tokens + 2 * int(call["start"]))

    return count


def _workspace(call: Call) -> int:
    """A number for each head and token of the queries (native/kernels/attention/attention_backward.h)."""
    query: Tensor = call["query"]
    batch, *_, dim = query.shape
    return query.numel() // (batch * dim) * 4


describe(
    replace(
        LOWPEAK,
        in_place=NEW_MEMORY,
        flops=_flops(2),
        tile="attention",
        lowering=LATER,
        kernel="lowpeak::causal_attention.out",
    ),
    torch.ops.lowpeak.causal_attention.default,
)
BACKWARD = replace(LOWPEAK, flops=_flops(5), workspace=_workspace)
describe(
    replace(
        BACKWARD,
        in_place=NEW_MEMORY,
        tile="attention_backward",
        lowering=LATER,
        kernel="lowpeak::causal_attention_backward.out",
    ),
    torch.ops.lowpeak.causal_attention_backward.default,
)
describe(
    replace(
        BACKWARD,
        in_place=EXECUTORCH,
        accumulates={1: "grad_key", 2: "grad_value"},
        tile=none("what the tiles of causal_attention_backward are"),
        lowering=UNMADE,
        kernel="lowpeak::causal_attention_backward_add.out",
    ),
    torch.ops.lowpeak.causal_attention_backward_add.default,
)
