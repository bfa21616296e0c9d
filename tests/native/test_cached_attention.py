"""Attention over a cache against float64 torch."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.native.linear import available_isas, library

TOLERANCE = 1e-5


@dataclass(frozen=True)
class Case:
    """`before`: tokens in the cache, `tokens` after them; `spare`: rows that nothing may read."""

    isa: int
    workers: int
    key_heads: int
    group: int
    dim: int
    before: int
    tokens: int
    spare: int
    tokens_first: bool
    scale: float
    seed: int

    @property
    def end(self) -> int:
        return self.before + self.tokens


cases = st.builds(
    Case,
    isa=st.sampled_from(available_isas()),
    workers=st.integers(1, 4),
    key_heads=st.integers(1, 3),
    group=st.integers(1, 4),
    dim=st.one_of(st.sampled_from([64, 80, 128, 256]), st.integers(1, 70)),
    before=st.one_of(st.integers(0, 100), st.just(600)),
    tokens=st.one_of(st.just(1), st.integers(1, 20)),
    spare=st.integers(0, 3),
    tokens_first=st.booleans(),
    scale=st.sampled_from([0.125, 0.08838834764, 1.0]),
    seed=st.integers(0, 1 << 30),
)


def cached(case: Case, query: Tensor, key: Tensor, value: Tensor, out: Tensor) -> None:
    """All [heads, tokens, dim]."""
    kernels = library()
    shape = (ctypes.c_int64 * 5)(len(query), len(key), case.dim, case.before, case.end)
    strides = [stride for tensor in (query, key, value, out) for stride in reversed(tensor.stride()[:2])]
    measure = kernels.lowpeak_cached_attention_scratch_bytes
    measure.restype = ctypes.c_int64
    scratch = torch.full((measure(shape, case.workers, case.isa) // 4,), torch.nan)
    threads = kernels.lowpeak_threads_create(case.workers)
    kernels.lowpeak_cached_attention(
        *(ctypes.c_void_p(tensor.data_ptr()) for tensor in (query, key, value, out)),
        (ctypes.c_int64 * 8)(*strides),
        shape,
        ctypes.c_float(case.scale),
        ctypes.c_void_p(threads),
        ctypes.c_void_p(scratch.data_ptr()),
        case.isa,
    )
    kernels.lowpeak_threads_destroy(threads)


@settings(max_examples=150, deadline=None)
@given(cases)
def test_sees_all_tokens_up_to_its_own(case: Case) -> None:
    torch.manual_seed(case.seed)
    heads = case.key_heads * case.group
    query = torch.randn(heads, case.tokens, case.dim)
    key, value = (torch.randn(case.key_heads, case.end + case.spare, case.dim) for _ in range(2))
    key[:, case.end :], value[:, case.end :] = torch.nan, torch.nan
    shape = (case.tokens, heads) if case.tokens_first else (heads, case.tokens)
    out = torch.full((*shape, case.dim), torch.nan)
    if case.tokens_first:
        query, out = query.transpose(0, 1).contiguous().transpose(0, 1), out.transpose(0, 1)
    cached(case, query, key, value, out)
    keys, values = (x[:, : case.end].double().repeat_interleave(case.group, 0) for x in (key, value))
    scores = query.double() @ keys.mT * case.scale
    visible = torch.ones(case.tokens, case.end, dtype=torch.bool).tril(case.before)
    expected = scores.masked_fill(~visible, -torch.inf).softmax(-1) @ values
    assert (out.double() - expected).norm() <= TOLERANCE * expected.norm()
