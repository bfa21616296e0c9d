"""Attention of tokens that follow others, whose keys and values are kept in a cache."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from lowpeak_artifact.ops.attention import causal_attention
from lowpeak_artifact.ops.base import LOWPEAK, UNMADE
from lowpeak_artifact.ops.record import describe, none


@torch.library.custom_op("lowpeak::cached_attention", mutates_args=("key_cache", "value_cache"))
def cached_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_cache: Tensor,
    value_cache: Tensor,
    positions: Tensor,
    scale: float,
    heads_axis: int = 1,
) -> Tensor:
    """Puts keys and values into the cache, then each query attends to all up to its own -> like query.

    query [1, heads, tokens, dim]; key, value [1, key heads, tokens, dim]; with heads_axis 2 all of them and
    the result [1, tokens, heads, dim]. The caches are float32 [1, key heads, longest, dim]. positions: int64
    [1, tokens], one after the other; rows before the first of them are those of earlier calls. IndexError
    where the cache ends before.
    """
    tokens, longest = positions.shape[1], key_cache.shape[2]
    start = int(positions[0, 0])
    if not 0 <= start <= longest - tokens:
        raise IndexError(f"{tokens} tokens from position {start} on are not in a cache of {longest}")
    for cache, new in ((key_cache, key), (value_cache, value)):
        cache[:, :, start : start + tokens] = new.transpose(1, heads_axis)
    heads_first = query.transpose(1, heads_axis)
    out: Tensor
    out, _ = causal_attention(heads_first.contiguous(), key_cache, value_cache, scale, 1, start)
    return out.transpose(1, heads_axis).contiguous()


@cached_attention.register_fake
def _(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_cache: Tensor,
    value_cache: Tensor,
    positions: Tensor,
    scale: float,
    heads_axis: int = 1,
) -> Tensor:
    return query.new_empty(query.shape)


describe(
    replace(
        LOWPEAK,
        in_place=none("writes into the caches alone, which are state"),
        flops=none("not counted: a program that generates has one plan"),
        tile=none("a program that generates has no tiles"),
        lowering=UNMADE,
        kernel="lowpeak::cached_attention.out",
    ),
    torch.ops.lowpeak.cached_attention.default,
)
