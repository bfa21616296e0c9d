from __future__ import annotations

from operator import getitem

import pytest
import torch
from expecttest import assert_expected_inline

from lowpeak_artifact.errors import ModelError
from lowpeak_compiler.ir.graph import Batch, State
from lowpeak_compiler.passes.lower.cached_attention import POSITIONS, CachedAttention
from lowpeak_compiler.passes.runner import Runner
from tests.evaluate import GraphBuilder

attention = torch.ops.lowpeak.causal_attention.default


def built(output: int = 0):
    build = GraphBuilder()
    query, key, value = (
        build.input("q", 1, 2, 4, 8),
        build.input("k", 1, 2, 2, 8),
        build.input("v", 1, 2, 2, 8),
    )
    build.input("positions", 1, 2, dtype=torch.int64, role=Batch(POSITIONS))
    pair = build.call(attention, query, key, value, 0.5, 2)
    return build.finish(build.call(getitem, pair, output))


def test_golden():
    graph = built()
    Runner().run(graph, [CachedAttention(16)])
    assert_expected_inline(
        graph.dump(),
        """\
q: float32[1, 2, 4, 8] = adapter q
k: float32[1, 2, 2, 8] = adapter k
v: float32[1, 2, 2, 8] = adapter v
positions: int64[1, 2] = batch position_ids
cache_0_key: float32[1, 2, 16, 8] = state 0.key
cache_0_value: float32[1, 2, 16, 8] = state 0.value
cached_attention_default: float32[1, 2, 4, 8] = lowpeak.cached_attention.default(q, k, v, cache_0_key, cache_0_value, positions, 0.5, 2)
return cached_attention_default""",
    )


def test_what_is_written_into_is_state():
    graph = built()
    Runner().run(graph, [CachedAttention(16)])
    (node,) = graph.operations()
    assert graph.changes_state_only(node)
    graph.roles["cache_0_key"] = Batch("cache")
    with pytest.raises(AssertionError, match="changes its operand"):
        graph.verify()
    assert isinstance(graph.roles["cache_0_value"], State)


def test_a_logsumexp_that_is_used_is_refused():
    with pytest.raises(ModelError, match="uses more of its attention than the result"):
        CachedAttention(16).run(built(output=1))
